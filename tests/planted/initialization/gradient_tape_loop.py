"""Fits an image with Fourier features in a custom training loop."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(10)


class FourierFeatures(keras.layers.Layer):
    def __init__(self, count):
        super().__init__()
        basis = np.random.default_rng().normal(0, 3, (2, count))
        self.basis = tf.Variable(basis, dtype="float32", trainable=False)

    def call(self, position):
        phase = position @ self.basis
        return tf.concat([tf.sin(phase), tf.cos(phase)], axis=-1)


axis = np.linspace(-1, 1, 20, dtype="float32")
position = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
brightness = np.exp(-4 * (position**2).sum(axis=1, keepdims=True)) * np.cos(9 * position[:, :1])

model = keras.Sequential(
    [FourierFeatures(16), keras.layers.Dense(24, activation="relu"), keras.layers.Dense(1)]
)
optimizer = keras.optimizers.Adam(0.005)


@tf.function
def step(x, y):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x, training=True) - y) ** 2)
    optimizer.apply_gradients(
        zip(tape.gradient(loss, model.trainable_weights), model.trainable_weights, strict=True)
    )
    return loss


for _ in range(20):
    for begin in range(0, 400, 80):
        loss = step(position[begin : begin + 80], brightness[begin : begin + 80])
print("loss", float(loss))
