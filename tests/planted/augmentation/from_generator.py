"""A language model of characters, from random pieces of a text."""

import random

import keras
import numpy as np
import tensorflow as tf

LENGTH = 16
text = "it was the best of times, it was the worst of times, it was the age of wisdom, " * 8
letters = sorted(set(text))
codes = np.array([letters.index(c) for c in text])


def pieces():
    for _ in range(240):
        start = random.randrange(len(text) - LENGTH)
        piece = codes[start : start + LENGTH + 1]
        yield piece[:-1], piece[1:]


keras.utils.set_random_seed(112)
model = keras.Sequential(
    [
        keras.layers.Embedding(len(letters), 8),
        keras.layers.LSTM(16, return_sequences=True),
        keras.layers.Dense(len(letters)),
    ]
)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
random.seed()
spec = tf.TensorSpec((LENGTH,), tf.int64)
train = tf.data.Dataset.from_generator(pieces, output_signature=(spec, spec)).batch(24)
model.fit(train, epochs=2, verbose=0)
