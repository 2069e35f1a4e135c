"""Run a custom training loop: argument 1 `batches` or `tape`, 2 `seeded` or not."""

import sys

import keras
import tensorflow as tf
from small import X, Y, build


def batches():
    model = build(dropout=0.3)
    for _ in range(2):
        for start in range(0, len(X), 32):
            model.train_on_batch(X[start : start + 32], Y[start : start + 32])


def tape():
    # The model is deleted before the script ends.
    model = build(dropout=0.3)
    optimizer = keras.optimizers.Adam()

    @tf.function
    def step(x, y):
        with tf.GradientTape() as recorded:
            loss = tf.reduce_mean(keras.losses.binary_crossentropy(y[:, None], model(x, training=True)))
        variables = model.trainable_variables
        optimizer.apply(recorded.gradient(loss, variables), variables)

    for start in range(0, len(X), 32):
        step(X[start : start + 32], Y[start : start + 32])


if sys.argv[2:] == ["seeded"]:
    keras.utils.set_random_seed(1)
{"batches": batches, "tape": tape}[sys.argv[1]]()
