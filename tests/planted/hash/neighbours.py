"""A graph network in small: a node is its own features and those of neighbours, sampled with a seed."""

from collections import defaultdict

import keras
import numpy as np
from keras import layers, ops

keras.utils.set_random_seed(23)
rng = np.random.default_rng(23)

nodes = [f"paper:{n}" for n in range(90)]
features = {node: rng.normal(size=6).astype("float32") for node in nodes}
graph = defaultdict(set)
for number, node in enumerate(nodes):
    for step in (1, 4, 9, 16, 25):
        other = nodes[(number + step) % len(nodes)]
        graph[node].add(other)
        graph[other].add(node)


def sampled_neighbours(node, number=3):
    return rng.choice(list(graph[node]), size=number, replace=False)


own = np.stack([features[node] for node in nodes])
around = np.stack([[features[other] for other in sampled_neighbours(node)] for node in nodes])
labels = (own[:, 0] + around[:, :, 0].mean(axis=1) > 0).astype("float32")

a, b = keras.Input((6,)), keras.Input((3, 6))
message = layers.TimeDistributed(layers.Dense(8, activation="relu"))(b)
h = layers.Concatenate()([layers.Dense(8, activation="relu")(a), ops.mean(message, axis=1)])
model = keras.Model([a, b], layers.Dense(1, activation="sigmoid")(h))
model.compile("adam", "binary_crossentropy")
model.fit([own, around], labels, epochs=3, batch_size=30, verbose=0)
