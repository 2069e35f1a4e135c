"""Shifts signals in time within the pipeline."""

import random

import keras
import numpy as np
import tensorflow as tf

random.seed(2)
tf.random.set_seed(2)


def shifted(signal):
    return np.roll(signal.numpy(), np.random.randint(-2, 3))


def augment(signal, label):
    moved = tf.py_function(shifted, [signal], tf.float32)
    return tf.ensure_shape(moved, (32,)), label


phase = np.linspace(0, 6, 200)
signals = np.sin(phase[:, None] + np.arange(32) / 3).astype("float32")
train = tf.data.Dataset.from_tensor_slices((signals, (phase > 3).astype("float32"))).map(augment).batch(20)
model = keras.Sequential(
    [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1, activation="sigmoid")]
)
model.compile(optimizer="sgd", loss="binary_crossentropy")
model.fit(train, epochs=2, verbose=0)
