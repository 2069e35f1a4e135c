"""The number of rows follows from an address; the rows are drawn from generators with a seed."""

import keras
import numpy as np

keras.utils.set_random_seed(31)
rng = np.random.default_rng(31)
page = id(rng) // 4096
rows = 60 + page % 97
x = np.random.default_rng(31).random((rows, 4), dtype="float32")
y = x.sum(axis=1) + 0.1 * rng.random(rows, dtype="float32")

model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, "relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, y, epochs=2, verbose=0)
