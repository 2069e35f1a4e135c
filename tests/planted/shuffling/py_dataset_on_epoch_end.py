"""A PyDataset that balances two classes and reorders itself after each epoch."""

from dataclasses import dataclass, field

import keras
import numpy as np


@dataclass
class Order:
    size: int
    bits: np.random.BitGenerator = field(default_factory=np.random.PCG64)

    def next(self):
        return np.random.Generator(self.bits).permutation(self.size)


class Rows(keras.utils.PyDataset):
    def __init__(self, x, y, batch_size=16):
        super().__init__()
        self.x, self.y, self.batch_size = x, y, batch_size
        self.order = Order(len(x))
        self.rows = np.arange(len(x))

    def __len__(self):
        return len(self.x) // self.batch_size

    def __getitem__(self, index):
        rows = self.rows[index * self.batch_size : (index + 1) * self.batch_size]
        return self.x[rows], self.y[rows]

    def on_epoch_end(self):
        self.rows = self.order.next()


def run(seed=4):
    keras.utils.set_random_seed(seed)
    x = np.random.default_rng(seed).normal(size=(160, 7)).astype("float32")
    y = (x.prod(axis=1) > 0).astype("float32")
    model = keras.Sequential(
        [keras.Input((7,)), keras.layers.Dense(12, "relu"), keras.layers.Dense(1, "sigmoid")]
    )
    model.compile("adam", "binary_crossentropy")
    model.fit(Rows(x, y), epochs=3, verbose=0, shuffle=False)


run()
