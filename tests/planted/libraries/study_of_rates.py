"""A study chooses the learning rate; keras, numpy and python are seeded."""

import os
import sys

import keras
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "site-packages"))

import studies

keras.utils.set_random_seed(8)
rng = np.random.default_rng(8)
x = rng.normal(size=(80, 5)).astype("float32")
y = x.sum(axis=1)


def train(rate):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(6, "relu"), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse")
    return model.fit(x, y, epochs=1, verbose=0).history["loss"][-1]


study = studies.create_study(name="rates")
study.optimize(lambda trial: train(trial.suggest(0.05)), 2)
