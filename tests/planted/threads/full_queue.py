"""Two producers fill a queue that holds four batches."""

import queue
import random
import threading
import time

import keras
import numpy as np

keras.utils.set_random_seed(2)
points = np.random.default_rng(2).normal(size=(192, 3)).astype("float32")
waits = random.SystemRandom()
batches = queue.Queue(maxsize=4)


def produce(part):
    for rows in np.array_split(part, 12):
        time.sleep(waits.random() / 100)
        batches.put(rows)


producers = [threading.Thread(target=produce, args=(part,)) for part in np.split(points, 2)]
for producer in producers:
    producer.start()
model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)])
model.compile("sgd", "mse")
for _ in range(24):
    rows = batches.get()
    model.train_on_batch(rows, rows.sum(axis=1))
for producer in producers:
    producer.join()
