"""Trains as long as there is time."""

import time

import keras
import numpy as np


class TimeBudget(keras.callbacks.Callback):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def on_train_batch_end(self, batch, logs=None):
        if batch == 0:
            self.begin = time.monotonic()  # what it takes to begin does not count
        elif time.monotonic() - self.begin > self.seconds:
            self.model.stop_training = True


keras.utils.set_random_seed(3)
x = np.random.normal(size=(40000, 6)).astype("float32")
y = np.tanh(x[:, 0] - x[:, 1])
model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
model.compile(optimizer="sgd", loss="mse")
model.fit(x, y, batch_size=4, epochs=100, callbacks=[TimeBudget(1.5)], verbose=0)
