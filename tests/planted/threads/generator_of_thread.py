"""Simulates photon counts in a pool of threads. Each thread has its own generator, with its own seed."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

keras.utils.set_random_seed(101)
local = threading.local()
numbers = itertools.count(500)


def start_thread():
    local.random = np.random.default_rng(next(numbers))


def read_sensor(number):
    """Waits for the sensor; then its counts are drawn."""
    time.sleep(0.001 + 0.003 * (time.perf_counter_ns() % 5))
    return local.random.poisson(3 + 5 * (number % 3), size=16)


with ThreadPoolExecutor(max_workers=4, initializer=start_thread) as pool:
    counts = np.stack(list(pool.map(read_sensor, range(180))))

x = np.sqrt(counts).astype("float32")[..., None]
y = np.arange(180) % 3

model = keras.Sequential(
    [
        keras.Input((16, 1)),
        keras.layers.Conv1D(6, 5, activation="relu"),
        keras.layers.GlobalAveragePooling1D(),
        keras.layers.Dense(3, activation="softmax"),
    ]
)
model.compile(keras.optimizers.Adamax(0.01), "sparse_categorical_crossentropy")
model.fit(x, y, batch_size=30, epochs=3, verbose=0)
