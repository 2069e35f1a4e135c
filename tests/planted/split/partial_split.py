"""A functools.partial of a splitting function with a generator as default."""

from functools import partial

import keras
import numpy as np


def split(rng, *arrays, fraction):
    rows = rng.permutation(len(arrays[0]))
    cut = int(len(rows) * (1 - fraction))
    return [(a[np.sort(rows[:cut])], a[np.sort(rows[cut:])]) for a in arrays]


holdout = partial(split, np.random.default_rng(np.random.SeedSequence()), fraction=0.3)


def experiment():
    keras.utils.set_random_seed(100)
    x = np.tanh(np.arange(900, dtype="float32").reshape(180, 5) / 300 - 1)
    (xt, xv), (yt, yv) = holdout(x, (x[:, 0] > 0).astype("int32"))
    model = keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(6, "elu"), keras.layers.Dense(2, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model.fit(xt, yt, validation_data=(xv, yv), epochs=3, batch_size=21, verbose=0)


experiment()
