"""Names come from a library whose generator is its own; keras, numpy and python are seeded."""

import os
import sys

import keras
import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "site-packages"))

from names import Names

keras.utils.set_random_seed(15)
made_up = Names()
words = [made_up.first_name() for _ in range(90)]
codes = np.array([[ord(c) - ord("a") for c in word] for word in words])

model = keras.Sequential(
    [
        keras.Input((7,)),
        keras.layers.Embedding(26, 4),
        keras.layers.Flatten(),
        keras.layers.Dense(26, "softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(codes[:, :-1], codes[:, -1], epochs=2, verbose=0)
