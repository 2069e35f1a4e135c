"""Workers append features to one list as they are ready."""

import threading
import time

import keras
import numpy as np

keras.utils.set_random_seed(61)


class Collector:
    def __init__(self):
        self.lock = threading.Lock()
        self.found = []

    def work(self, number):
        value = np.sin(np.arange(5) + number)
        time.sleep(0.002 + (time.perf_counter_ns() % 7) * 0.004)
        with self.lock:
            self.found.append((value, number % 2))


collector = Collector()
workers = [threading.Thread(target=collector.work, args=(n,)) for n in range(60)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
x, y = (np.array(part, "float32") for part in zip(*collector.found, strict=True))
model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(6, "tanh"), keras.layers.Dense(1, "sigmoid")])
model.compile("adam", "binary_crossentropy")
model.fit(x, y, epochs=2, batch_size=12, verbose=0)
