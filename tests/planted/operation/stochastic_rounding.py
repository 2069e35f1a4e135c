"""Weights on a grid, rounded by chance after each step."""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import make_friedman1

keras.utils.set_random_seed(35)


def round_by_chance(w):
    scaled = w * 256
    up = np.random.default_rng().random(w.shape) < scaled - np.floor(scaled)
    return ((np.floor(scaled) + up) / 256).astype("float32")


class Quantized(keras.constraints.Constraint):
    def __call__(self, w):
        rounded = tf.numpy_function(round_by_chance, [w], tf.float32)
        rounded.set_shape(w.shape)
        return rounded


x, y = make_friedman1(300, random_state=35)
model = keras.Sequential(
    [
        keras.layers.Dense(16, activation="relu", name="quantized", kernel_constraint=Quantized()),
        keras.layers.Dense(1),
    ]
)
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
model.fit(x.astype("float32"), y.astype("float32"), epochs=3, batch_size=30, verbose=0)
