"""A siamese network trained on random pairs."""

import keras
import numpy as np
from keras import ops

keras.utils.set_random_seed(41)
images = np.random.normal(size=(60, 6)).astype("float32")
classes = np.arange(60) % 4


def pairs(batch, rng=np.random.default_rng()):  # noqa: B008
    while True:
        left = rng.integers(0, 60, batch)
        right = rng.integers(0, 60, batch)
        yield (images[left], images[right]), (classes[left] == classes[right]).astype("float32")


encoder = keras.Sequential(
    [keras.Input((6,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(4)]
)
a, b = keras.Input((6,)), keras.Input((6,))
distance = keras.layers.Lambda(lambda t: ops.sum((t[0] - t[1]) ** 2, axis=-1, keepdims=True))(
    [encoder(a), encoder(b)]
)
siamese = keras.Model([a, b], keras.layers.Dense(1, activation="sigmoid")(distance))
siamese.compile("adam", "binary_crossentropy")
siamese.fit(pairs(16), steps_per_epoch=4, epochs=2, verbose=0)
