"""A splitter object with slots, used in a context manager, with a property that draws."""

import contextlib
import os

import keras
import numpy as np


class Splitter:
    __slots__ = ("_bits", "share")

    def __init__(self, share):
        self.share = share
        self._bits = np.frombuffer(os.urandom(400), "uint8")

    @property
    def mask(self):
        return self._bits[:200] < 255 * self.share


@contextlib.contextmanager
def splitting(x, y, share):
    mask = Splitter(share).mask
    yield (x[mask], y[mask]), (x[~mask], y[~mask])


keras.utils.set_random_seed(13)
x = np.random.rand(200, 3)
with splitting(x, x[:, 1], 0.75) as (train, valid):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(*train, validation_data=valid, epochs=2, verbose=0)
