"""One generator for each sensor, seeded by the sensor's number."""

import keras
import numpy as np

NUMBERS = {"roof": 1, "cellar": 2, "garden": 3, "garage": 4, "attic": 5, "porch": 6}


def readings(number):
    rng = np.random.default_rng(number)
    return rng.normal(number, 1, (30, 4))


keras.utils.set_random_seed(11)
names = set(NUMBERS)
x = np.concatenate([readings(NUMBERS[name]) for name in names]).astype("float32")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(5, "relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, x.mean(axis=1), epochs=2, shuffle=False, verbose=0)
