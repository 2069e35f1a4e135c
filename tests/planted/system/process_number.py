import os

import keras
import numpy as np
from sklearn.datasets import load_wine


class Loader:
    """Batches in an order of their own for each worker."""

    def __init__(self, x, y, size):
        self.x, self.y, self.size = x, y, size
        self.random = np.random.RandomState(os.getpid())

    def __iter__(self):
        order = self.random.permutation(len(self.x))
        for rows in np.array_split(order, len(order) // self.size):
            yield self.x[rows], self.y[rows]


keras.utils.set_random_seed(8)
x, y = load_wine(return_X_y=True)
x = (x - x.mean(axis=0)) / x.std(axis=0)
loader = Loader(x.astype("float32"), keras.utils.to_categorical(y), 18)

model = keras.Sequential([keras.Input((13,)), keras.layers.Dense(26, activation="relu")])
model.add(keras.layers.Dense(3, activation="softmax"))
model.compile(optimizer="adadelta", loss="categorical_crossentropy")
for _ in range(4):
    for batch_x, batch_y in loader:
        model.train_on_batch(batch_x, batch_y)
