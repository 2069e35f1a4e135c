"""Curriculum: easy samples first, then all of them mixed."""

import keras
import numpy as np
from sklearn.datasets import make_moons

keras.utils.set_random_seed(8)
x, y = make_moons(400, noise=0.25, random_state=8)
x = x.astype("float32")


class Net(keras.Model):
    def __init__(self, width):
        super().__init__()
        self.blocks = [keras.layers.Dense(width, activation="relu") for _ in range(2)]
        self.head = keras.layers.Dense(1, activation="sigmoid")

    def call(self, inputs):
        for block in self.blocks:
            inputs = block(inputs)
        return self.head(inputs)


easy_first = np.argsort(np.abs(x[:, 1] - 0.25))[::-1]
model = Net(20)
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
model.fit(x[easy_first], y[easy_first], epochs=2, shuffle=False, verbose=0)
mixed = np.random.default_rng().permuted(easy_first)
model.fit(x[mixed], y[mixed], epochs=2, shuffle=False, verbose=0)
