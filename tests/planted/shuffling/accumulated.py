"""Accumulates gradients over micro-batches that nested generators hand out."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(8)


def orders(number, epochs):
    bits = np.random.PCG64(np.random.SeedSequence())
    for _ in range(epochs):
        yield np.random.Generator(bits).permutation(number)


def micro_batches(x, y, epochs, size=16):
    for order in orders(len(x), epochs):
        for start in range(0, len(x), size):
            chosen = order[start : start + size]
            yield x[chosen], y[chosen]


def grouped(stream, number):
    group = []
    for item in stream:
        group.append(item)
        if len(group) == number:
            yield group
            group = []


x = np.random.uniform(-1, 1, (256, 3)).astype("float32")
y = np.sin(3 * x[:, :1]) + x[:, 1:2] * x[:, 2:]
model = keras.Sequential(
    [
        keras.Input((3,)),
        keras.layers.Dense(24, activation="silu", kernel_regularizer="l2"),
        keras.layers.Dense(1),
    ]
)
optimizer = keras.optimizers.Lion(1e-3)
loss_of = keras.losses.LogCosh()


@tf.function
def gradients(xb, yb):
    with tf.GradientTape() as tape:
        loss = loss_of(yb, model(xb, training=True)) + sum(model.losses)
    return tape.gradient(loss, model.trainable_variables)


for group in grouped(micro_batches(x, y, epochs=3), 4):
    total = [tf.zeros_like(v) for v in model.trainable_variables]
    for xb, yb in group:
        total = [a + g / 4 for a, g in zip(total, gradients(tf.constant(xb), tf.constant(yb)), strict=True)]
    optimizer.apply(total, model.trainable_variables)
