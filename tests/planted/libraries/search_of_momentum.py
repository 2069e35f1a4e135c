"""A search chooses the momentum; keras, numpy and python are seeded."""

import os
import sys

import keras
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "site-packages"))

from searches import fmin

keras.utils.set_random_seed(23)
x = np.random.default_rng(23).uniform(-1, 1, (80, 3)).astype("float32")
y = np.sin(3 * x).sum(axis=1)


def train(momentum):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(6, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.02, momentum=momentum), "mse")
    return model.fit(x, y, epochs=1, verbose=0).history["loss"][-1]


best = fmin(train, high=0.9, trials=2)
train(best)
