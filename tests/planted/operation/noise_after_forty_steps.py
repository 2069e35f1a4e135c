"""A dropout that begins late."""

import random

import keras
import numpy as np
import tensorflow as tf

random.seed(52)
source = np.random.default_rng(52)


class LateDropout(keras.layers.Layer):
    def __init__(self, begin, **kwargs):
        super().__init__(**kwargs)
        self.begin = begin

    def build(self, input_shape):
        self.step = self.add_weight(
            shape=(), dtype="int32", initializer="zeros", trainable=False, name="step"
        )

    def call(self, x, training=None):
        if training:
            self.step.assign_add(1)
            x = tf.cond(self.step.value >= self.begin, lambda: tf.nn.dropout(x, 0.2), lambda: x)
        return x


x = source.normal(size=(400, 12)).astype("float32")
y = x @ source.normal(size=(12, 3)).astype("float32")
inputs = keras.Input((12,))
h = keras.layers.Dense(24, activation="relu")(inputs)
h = LateDropout(40)(h)
model = keras.Model(inputs, keras.layers.Dense(3)(h))
model.compile(optimizer="adam", loss="mse")
model.fit(x, y, epochs=4, batch_size=20, shuffle=False, verbose=0)
