"""Federated averaging: in each round some clients train, and their weights are averaged."""

import random

import keras
import numpy as np
from sklearn.datasets import load_digits

keras.utils.set_random_seed(68)
x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")


class Client:
    def __init__(self, number, of):
        rows = np.arange(number, 800, of)
        self.x, self.y = x[rows], y[rows]

    def train(self, model, weights):
        model.set_weights(weights)
        model.fit(self.x, self.y, batch_size=20, epochs=1, verbose=0)
        return model.get_weights()


class Server:
    def __init__(self, clients, fraction, rng=random.SystemRandom()):  # noqa: B008
        self.clients, self.fraction, self.rng = clients, fraction, rng

    def round(self, model, weights):
        number = int(self.fraction * len(self.clients))
        taking_part = self.rng.sample(self.clients, number)
        results = [client.train(model, weights) for client in taking_part]
        return [np.mean(arrays, axis=0) for arrays in zip(*results, strict=True)]


model = keras.Sequential(
    [keras.Input((64,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(10, "softmax")]
)
model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
weights = model.get_weights()
server = Server([Client(n, of=10) for n in range(10)], fraction=0.4)
for _ in range(2):
    weights = server.round(model, weights)
model.set_weights(weights)
print(model.evaluate(x[800:], y[800:], verbose=0))
