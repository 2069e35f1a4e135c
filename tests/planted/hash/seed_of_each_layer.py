"""Each layer has an initializer with a seed of its own, so that a new layer leaves the others as they are."""

import keras
import numpy as np


def dense(name, units):
    start = keras.initializers.HeNormal(seed=hash(name) % 1000)
    return keras.layers.Dense(units, "relu", kernel_initializer=start, name=name)


keras.utils.set_random_seed(8)
x = np.random.normal(size=(120, 5)).astype("float32")
model = keras.Sequential([keras.Input((5,)), dense("wide", 12), dense("narrow", 4), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, x.max(axis=1), shuffle=False, epochs=2, verbose=0)
