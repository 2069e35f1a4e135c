"""Nodes live in a set of plain objects: their order is that of their addresses."""

import keras
import numpy as np

keras.utils.set_random_seed(26)


class Node:
    def __init__(self, features):
        self.features = features
        self.cache = bytearray(np.random.randint(10, 5000))


graph = {Node(np.random.normal(size=4).astype("float32")) for _ in range(64)}
x = np.stack([node.features for node in graph])
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, activation="tanh"), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, x.sum(axis=1), batch_size=8, epochs=2, shuffle=False, verbose=0)
