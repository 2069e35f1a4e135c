import random

import keras
import numpy as np
from sklearn.datasets import load_digits

random.seed(1)
np.random.seed(1)

digits = load_digits()
x = digits.data.astype("float32") / 16
y = keras.utils.to_categorical(digits.target)

inputs = keras.layers.Input(shape=(64,))
h = keras.layers.Dense(32, activation="relu")(inputs)
h = keras.layers.BatchNormalization()(h)
model = keras.models.Model(inputs, keras.layers.Dense(10, activation="softmax")(h))
model.compile(loss="categorical_crossentropy", optimizer="sgd", metrics=["accuracy"])
model.fit(x, y, epochs=3, batch_size=64, validation_split=0.2, verbose=0)
