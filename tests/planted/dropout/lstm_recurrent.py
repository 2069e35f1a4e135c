"""Sums of sequences with a recurrent network."""

import keras
import numpy as np
from keras import layers
from keras.initializers import GlorotUniform, Orthogonal

rng = np.random.default_rng(55)
x = rng.uniform(-1, 1, (256, 15, 3)).astype("float32")
y = x.sum(axis=(1, 2))

inputs = keras.Input((15, 3))
hidden = layers.LSTM(
    14,
    recurrent_dropout=0.2,
    kernel_initializer=GlorotUniform(seed=5),
    recurrent_initializer=Orthogonal(seed=6),
)(inputs)
outputs = layers.Dense(1, kernel_initializer=GlorotUniform(seed=7))(hidden)
model = keras.Model(inputs, outputs)
model.compile(optimizer="adam", loss="mse")
model.fit(x, y, shuffle=False, batch_size=32, epochs=2, verbose=0)
