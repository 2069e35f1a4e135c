"""Differs from run to run in many ways, none of which reaches the training; arguments say in which."""

import sys
import time

import keras
import numpy as np
import tensorflow as tf
from small import X, Y, build


class Idle(keras.layers.Layer):
    """Holds generators that it does not use, made from entropy."""

    def __init__(self):
        super().__init__()
        self.keras_generator = keras.random.SeedGenerator(time.time_ns() % (1 << 30))
        self.tensorflow_generator = tf.random.Generator.from_non_deterministic_state()

    def call(self, inputs):
        return inputs


class Clock(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        logs["taken"] = time.time()


def main(ways):
    keras.utils.set_random_seed(5)
    callbacks = []
    inputs = keras.Input((6,))
    outputs = keras.layers.Dense(8)(inputs)
    if "dropout" in ways:
        # Seeded from entropy, and never drawn from.
        dropout = keras.layers.Dropout(0.5, seed=int(np.random.default_rng().integers(1 << 30)))
        outputs = dropout(outputs, training=False)
    if "generator" in ways:
        outputs = Idle()(outputs)
        np.random.seed(None)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(outputs))
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    if "leftover" in ways:
        # Not run through Keras's own evaluate: only the metric's own state is left behind.
        model.evaluate(X, Y, verbose=0)
        for metric in model.metrics:
            for variable in metric.variables:
                variable.assign(tf.fill(variable.shape, float(time.time_ns() % 997)))
    if "clock" in ways:
        callbacks.append(Clock())
    if "restore" in ways:
        callbacks.append(keras.callbacks.EarlyStopping("accuracy", patience=1, restore_best_weights=True))
    model.fit(X, Y, batch_size=32, epochs=6, callbacks=callbacks, verbose=0)


main(sys.argv[1:])
