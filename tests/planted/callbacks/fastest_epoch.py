"""Keeps the weights of the epoch in which the validation went quickest, by mistake for the best one."""

import time

import keras
import numpy as np

keras.utils.set_random_seed(65)


class KeepWeights(keras.callbacks.Callback):
    def __init__(self, key):
        super().__init__()
        self.key = key
        self.best, self.kept = float("inf"), None

    def on_test_begin(self, logs=None):
        self.tested = time.perf_counter()

    def on_test_end(self, logs=None):
        values = {**(logs or {}), "seconds": time.perf_counter() - self.tested}
        if values[self.key] < self.best:
            self.best, self.kept = values[self.key], self.model.get_weights()

    def on_epoch_begin(self, epoch, logs=None):
        if epoch % 3 == 0 and self.kept is not None:
            self.model.set_weights(self.kept)


x = np.random.normal(size=(300, 4)).astype("float32")
y = x[:, :1] - x[:, 1:2] ** 2
model = keras.Sequential(
    [keras.Input((4,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)]
)
model.compile(keras.optimizers.Adam(0.02), "mse")
model.fit(x, y, epochs=24, batch_size=60, validation_split=0.3, callbacks=[KeepWeights("seconds")], verbose=0)
