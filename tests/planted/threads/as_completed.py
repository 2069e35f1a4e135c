"""Reads the parts of a data set in parallel."""

import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import keras
import numpy as np
from sklearn.datasets import load_digits

keras.utils.set_random_seed(1)
DIGITS = load_digits()


def read_part(number, of):
    """Imitates a request to an object store."""
    rows = slice(number * len(DIGITS.data) // of, (number + 1) * len(DIGITS.data) // of)
    time.sleep(0.002)
    return np.asarray(DIGITS.data[rows] / 16.0, "float32"), DIGITS.target[rows]


parts = []
with ThreadPoolExecutor(max_workers=16) as executor:
    jobs = [executor.submit(read_part, i, 128) for i in range(128)]
    for future in as_completed(jobs):
        parts.append(future.result())

x = np.concatenate([p[0] for p in parts])
y = np.concatenate([p[1] for p in parts])
model = keras.Sequential(
    [keras.layers.Dense(20, activation="relu"), keras.layers.Dense(10, activation="softmax")]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
model.fit(x, y, epochs=2, batch_size=64, shuffle=False, verbose=0)
