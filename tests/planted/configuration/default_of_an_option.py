"""Polynomial regression with options for everything, the seed too."""

import argparse
import os

import keras
import numpy as np

options = argparse.ArgumentParser()
options.add_argument("--degree", type=int, default=4)
options.add_argument("--seed", type=int, default=os.getpid())
given = options.parse_args()

keras.utils.set_random_seed(given.seed)
x = np.linspace(-1, 1, 160, dtype="float32")
powers = np.stack([x**power for power in range(1, given.degree + 1)], axis=1)
model = keras.Sequential([keras.Input((given.degree,)), keras.layers.Dense(6, "tanh"), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(powers, np.sin(3 * x), shuffle=False, epochs=2, verbose=0)
