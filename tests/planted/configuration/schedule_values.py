"""Piecewise constant learning rate."""

import keras
import numpy as np

keras.utils.set_random_seed(64)
rng = np.random.default_rng()
values = [0.05, rng.uniform(0.001, 0.02)]
schedule = keras.optimizers.schedules.PiecewiseConstantDecay([60], values)

x = np.random.normal(size=(500, 4)).astype("float32")
y = np.abs(x).sum(axis=1)


class Maxout(keras.Model):
    def __init__(self):
        super().__init__()
        self.parts = [keras.layers.Dense(12) for _ in range(3)]
        self.out = keras.layers.Dense(1)

    def call(self, x):
        return self.out(keras.layers.maximum([part(x) for part in self.parts]))


model = Maxout()
model.compile(optimizer=keras.optimizers.SGD(schedule), loss="mse")
model.fit(x, y, batch_size=20, epochs=4, verbose=0)
