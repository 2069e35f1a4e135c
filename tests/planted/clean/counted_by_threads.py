"""Threads count words; the vocabulary is sorted by count and word."""

import random
import threading
import time
from collections import Counter

import keras
import numpy as np

WORDS = ["ship", "sail", "wind", "harbour", "anchor", "rope", "deck", "mast", "wave", "storm", "tide", "gull"]
counts, lock = Counter(), threading.Lock()


def count(document):
    time.sleep(random.SystemRandom().random() / 500)
    with lock:
        counts.update(document)


def documents():
    draw = np.random.default_rng(33)
    return [[WORDS[i] for i in draw.choice(len(WORDS), 6)] for _ in range(80)]


keras.utils.set_random_seed(33)
texts = documents()
threads = [threading.Thread(target=count, args=(t,)) for t in texts]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
vocabulary = [word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]

lookup = keras.layers.StringLookup(vocabulary=vocabulary)
x = np.array(lookup(np.array(texts)))
model = keras.Sequential([keras.layers.Embedding(20, 4), keras.layers.Flatten(), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, x.mean(axis=1), epochs=2, verbose=0)
