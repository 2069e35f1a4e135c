"""Two sources, mixed 3 to 1."""

import random

import keras
import numpy as np
import tensorflow as tf

random.seed(8)
source = np.random.default_rng(8)


def dataset(center, label, count):
    points = source.normal(center, 1.0, (count, 6)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((points, np.full(count, label, "float32")))


common, rare = dataset(-0.5, 0.0, 300), dataset(0.5, 1.0, 100)
mixed = tf.data.Dataset.sample_from_datasets([common, rare], weights=[0.75, 0.25])
model = keras.Sequential(
    [keras.Input((6,)), keras.layers.Dense(12, activation="relu"), keras.layers.Dense(1)]
)
model.compile("adam", keras.losses.BinaryFocalCrossentropy(from_logits=True))
model.fit(mixed.batch(20), epochs=2, verbose=0)
