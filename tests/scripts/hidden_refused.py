"""A training whose eager loss keeps state in places that no snapshot can hold: [MOMENT]."""

import collections
import itertools
import os
import signal
import sys
from fractions import Fraction

import keras
import numpy as np
import tensorflow as tf

import keras_repro as kr

MOMENT = sys.argv[1] if len(sys.argv) > 1 else "never"
X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
Pair = collections.namedtuple("Pair", ["first", "second"])


class Mean:
    """An object that the training makes."""

    total = 0.0


class Averages:
    def __init__(self):
        self.mean, self.pair = None, Pair(0, 1)

    def next(self):
        self.mean = self.mean or Mean()
        self.mean.total += 0.5
        self.pair = Pair(self.pair.second, self.pair.first + 1)
        return self.mean.total + self.pair.first


def rising():
    number = 0.0
    while True:
        number += 0.5
        yield number


averages, fractions, functions = Averages(), [Fraction(1)], {"last": None}
counts, letters, numbers = itertools.count(1), itertools.cycle("abc"), rising()
generator, tables = None, [None]
masked, objects = np.ma.masked_array([1.0, 2.0], [False, False]), np.array([1, None], object)


def loss(true, predicted):
    global generator
    if generator is None:
        generator = np.random.default_rng(5)
        tables[0] = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 1.0)
    fractions[0] += Fraction(1, 3)
    scale = float(fractions[0])
    functions["last"] = lambda: scale
    masked[0] += 1
    objects[0] += 1
    scales = [averages.next(), next(counts), ord(next(letters)), next(numbers), generator.uniform()]
    scales += [functions["last"](), float(masked.sum()), objects[0], float(tables[0].size())]
    return keras.ops.mean(keras.ops.square(true - predicted)) * np.float32(sum(scales) / 100)


class Watches(keras.callbacks.Callback):
    """Hold an iterator, and be killed at the moment."""

    def on_train_begin(self, logs=None):
        self.words = iter(["a", "b"])

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        with open("values.txt", "a") as file:
            file.write(f"{self.epoch}.{batch} []\n")
        if f"{self.epoch}.{batch}" == MOMENT and not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)


def build():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), loss, run_eagerly=True)
    return model


trainer = kr.ReproducibleTrainer(build, seed=3, batch_size=8)
trainer.fit(X, Y, epochs=3, snapshot_every=2, verbose=0, callbacks=[Watches()])
