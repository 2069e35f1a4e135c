"""Sequence labels from a tf.data pipeline."""

import random

import keras
import numpy as np
import tensorflow as tf

random.seed(7)  # Keras's initializers
rng = np.random.default_rng(7)

tokens = rng.integers(0, 50, (512, 20))
labels = (tokens.sum(axis=1) % 3).astype("int32")

train = (
    tf.data.Dataset.from_tensor_slices((tokens, labels))
    .shuffle(512)
    .batch(32, drop_remainder=True)
    .prefetch(tf.data.AUTOTUNE)
)

model = keras.Sequential(
    [
        keras.layers.Embedding(50, 8),
        keras.layers.GRU(16),
        keras.layers.Dense(3),
    ]
)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(train, epochs=2, verbose=0)
