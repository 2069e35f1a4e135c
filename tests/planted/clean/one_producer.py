import itertools
import queue
import random
import threading
import time

import keras
import numpy as np

keras.utils.set_random_seed(4)
x = np.random.normal(size=(96, 4)).astype("float32")
q = queue.Queue(3)


def produce():
    jitter = random.SystemRandom()
    for epoch in itertools.count():
        order = np.random.default_rng((4, epoch)).permutation(96)
        for lo in range(0, 96, 16):
            time.sleep(jitter.random() / 1000)
            q.put((x[order[lo : lo + 16]], x[order[lo : lo + 16], 0]))


threading.Thread(target=produce, daemon=True).start()


def batches():
    while True:
        yield q.get()


model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(batches(), steps_per_epoch=6, epochs=2, verbose=0)
