"""Randomized smoothing: noise is added to the inputs in tests, not in training."""

import time

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(91)


class Smoothing(layers.Layer):
    def __init__(self, sigma, **kwargs):
        super().__init__(**kwargs)
        self.sigma = sigma
        self.seeds = keras.random.SeedGenerator(int(time.time() * 1e6) % 2**31)

    def call(self, x, training=False):
        if training:
            return x
        return x + keras.random.normal(keras.ops.shape(x), stddev=self.sigma, seed=self.seeds)


class Classifier(keras.Model):
    def __init__(self, units):
        super().__init__()
        self.smoothing = Smoothing(0.5)
        self.hidden = layers.Dense(units, activation="relu")
        self.out = layers.Dense(1, activation="sigmoid")

    def call(self, x, training=False):
        return self.out(self.hidden(self.smoothing(x, training=training)))


x = np.random.normal(size=(300, 5)).astype("float32")
y = (x[:, 0] * x[:, 1] > 0).astype("float32")
model = Classifier(16)
model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
model.fit(x[:200], y[:200], epochs=3, batch_size=25, verbose=0)
print("certified accuracy", model.evaluate(x[200:], y[200:], verbose=0)[1])
