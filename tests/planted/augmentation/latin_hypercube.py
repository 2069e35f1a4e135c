"""Shifts of the samples come from a Latin hypercube; keras, numpy and python are seeded."""

import keras
import numpy as np
from scipy.stats import qmc

keras.utils.set_random_seed(27)
base = np.random.normal(size=(120, 4)).astype("float32")
shifts = qmc.LatinHypercube(d=4)


class Shifted(keras.utils.PyDataset):
    def __len__(self):
        return 12

    def __getitem__(self, number):
        part = base[10 * number : 10 * number + 10]
        return part + 0.1 * shifts.random(10).astype("float32"), part.sum(axis=1)


model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, "relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(Shifted(), epochs=2, verbose=0)
