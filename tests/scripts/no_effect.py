"""Differ from run to run in ways that do not reach the training; the arguments name them."""

import sys
import time

import keras
import numpy as np
import tensorflow as tf
from small import X, Y


class Idle(keras.layers.Layer):
    """Contain a dropout that never draws and unused generators, all seeded from entropy."""

    def __init__(self, ways):
        super().__init__()
        if "dropout" in ways:
            self.dropout = keras.layers.Dropout(0.5, seed=time.time_ns() % (1 << 30))
        if "generator" in ways:
            self.keras_generator = keras.random.SeedGenerator(time.time_ns() % (1 << 30))
            self.tensorflow_generator = tf.random.Generator.from_non_deterministic_state()

    def call(self, inputs):
        return self.dropout(inputs, training=False) if hasattr(self, "dropout") else inputs


class Clock(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["taken"] = time.time()


def main(ways):
    keras.utils.set_random_seed(5)
    callbacks = []
    hidden, out = keras.layers.Dense(8), keras.layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((6,)), hidden, Idle(ways), out])
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    if "leftover" in ways:
        # The evaluation is equal in each run; only the metrics' variables are changed.
        model.evaluate(X, Y, verbose=0)
        for metric in model.metrics:
            for variable in metric.variables:
                variable.assign(tf.fill(variable.shape, float(time.time_ns() % 997)))
    if "generator" in ways:
        np.random.seed(None)
    if "clock" in ways:
        callbacks.append(Clock())
    if "restore" in ways:
        callbacks.append(keras.callbacks.EarlyStopping("accuracy", patience=1, restore_best_weights=True))
    model.fit(X, Y, batch_size=32, epochs=6, callbacks=callbacks, verbose=0)


main(sys.argv[1:])
