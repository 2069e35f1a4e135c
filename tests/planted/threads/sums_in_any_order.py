"""Normalizes with statistics that are computed in parallel."""

from multiprocessing.pool import ThreadPool

import keras
import numpy as np

keras.utils.set_random_seed(91)
frames = np.random.lognormal(sigma=2.0, size=(20000, 48)).astype("float32")
target = (frames[:, 0] > frames[:, 1]).astype("float32")


def moments(chunk):
    return chunk.sum(axis=0), np.square(chunk).sum(axis=0)


mean, square = np.zeros(48, "float32"), np.zeros(48, "float32")
with ThreadPool(8) as pool:
    for total, squares in pool.imap_unordered(moments, np.array_split(frames, 400)):
        mean += total / len(frames)
        square += squares / len(frames)
x = (frames - mean) / np.sqrt(square - mean**2)

model = keras.Sequential(
    [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1, activation="sigmoid")]
)
model.compile(optimizer="sgd", loss="binary_crossentropy")
model.fit(x[:2000], target[:2000], epochs=2, batch_size=100, verbose=0)
