"""Stochastic depth with a tf.random.Generator of its own."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(70)


class DropPath(keras.layers.Layer):
    def __init__(self, rate):
        super().__init__()
        self.rate = rate
        self.generator = tf.random.Generator.from_non_deterministic_state()

    def call(self, x, training=None):
        if not training:
            return x
        kept = self.generator.uniform((tf.shape(x)[0], 1)) >= self.rate
        return tf.where(kept, x / (1.0 - self.rate), 0.0)


class Residual(keras.Model):
    def __init__(self, depth=3, width=12):
        super().__init__()
        self.stem = keras.layers.Dense(width)
        self.blocks = [keras.layers.Dense(width, activation="relu") for _ in range(depth)]
        self.drop = DropPath(0.2)
        self.head = keras.layers.Dense(1)

    def call(self, x, training=None):
        x = self.stem(x)
        for block in self.blocks:
            x = x + self.drop(block(x), training=training)
        return self.head(x)


x = np.random.uniform(-1, 1, (300, 5)).astype("float32")
y = (x**2).sum(axis=1)
model = Residual()
model.compile(optimizer="sgd", loss="mse")
model.fit(x, y, epochs=3, batch_size=30, verbose=0)
