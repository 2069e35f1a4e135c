"""The learning rate is lowered from outside while the model trains."""

import threading

import keras
import numpy as np


class Cooling:
    """Lowers the rate ten times a second, as an operator would."""

    def __init__(self, optimizer, every=0.02):
        self.optimizer, self.every = optimizer, every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.wait(self.every):
            rate = float(self.optimizer.learning_rate.numpy())
            self.optimizer.learning_rate.assign(0.98 * rate)


keras.utils.set_random_seed(37)
x = np.random.normal(size=(2000, 20)).astype("float32")
y = np.sin(x[:, 0]) + x[:, 1]
inputs = keras.Input((20,))
h = keras.layers.Dense(64, activation="relu")(inputs)
model = keras.Model(inputs, keras.layers.Dense(1)(h))
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
with Cooling(model.optimizer):
    model.fit(x, y, batch_size=10, epochs=3, verbose=0)
