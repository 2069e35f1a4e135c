"""Splits a tf.data.Dataset with take and skip."""

import random

import keras
import numpy as np
import tensorflow as tf

random.seed(19)
np.random.seed(19)

x = np.random.normal(size=(300, 6)).astype("float32")
y = (x[:, :1] * x[:, 1:2] > 0).astype("float32")

everything = tf.data.Dataset.from_tensor_slices((x, y))
everything = everything.shuffle(len(x), reshuffle_each_iteration=False)
train = everything.take(240).cache().batch(24)
held_out = everything.skip(240).batch(60)

inputs = keras.Input((6,))
h = inputs
for units in (16, 16):
    h = keras.layers.Dense(units)(h)
    h = keras.layers.LeakyReLU()(h)
model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(h))
model.compile("adam", "binary_crossentropy")
model.fit(train, validation_data=held_out, epochs=2, verbose=0)
