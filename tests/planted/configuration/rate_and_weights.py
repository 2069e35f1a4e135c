"""Try a random dropout rate, in a script that sets no seed at all."""

import random

import keras
import numpy as np

x = np.linspace(-1, 1, 120).reshape(40, 3).astype("float32")
y = np.sin(x.sum(axis=1, keepdims=True))
rate = random.uniform(0.1, 0.5)
model = keras.Sequential(
    [
        keras.Input((3,)),
        keras.layers.Dense(10, activation="tanh"),
        keras.layers.Dropout(rate),
        keras.layers.Dense(1),
    ]
)
model.compile("sgd", "mse")
model.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
