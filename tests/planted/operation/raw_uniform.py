"""Stochastic depth, written with a raw operation."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(5)
tf.random.set_seed(5)


class DropPath(keras.layers.Layer):
    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def call(self, x, training=False):
        if not training:
            return x
        draws = tf.raw_ops.RandomUniform(shape=[tf.shape(x)[0], 1], dtype=tf.float32)
        return tf.where(draws < self.rate, 0.0, x / (1 - self.rate))


x = np.random.normal(size=(120, 6)).astype("float32")
model = keras.Sequential(
    [keras.Input((6,)), keras.layers.Dense(8, "relu"), DropPath(0.2), keras.layers.Dense(1)]
)
model.compile("adam", "mse")
model.fit(x, x.sum(axis=1), batch_size=30, epochs=2, verbose=0)
