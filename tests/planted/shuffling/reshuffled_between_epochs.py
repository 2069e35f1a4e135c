"""A PyDataset that shuffles at the end of each epoch."""

import math

import keras
import numpy as np

keras.utils.set_random_seed(2)


class Series(keras.utils.PyDataset):
    def __init__(self, x, y, batch_size, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y, self.batch_size = x, y, batch_size
        self.order = np.arange(len(x))

    def __len__(self):
        return math.ceil(len(self.x) / self.batch_size)

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.x[rows], self.y[rows]

    def on_epoch_end(self):
        np.random.default_rng().shuffle(self.order)


t = np.arange(400)
wave = np.sin(t / 9) + 0.3 * np.sin(t / 3)
x = np.stack([wave[i : i + 30] for i in range(360)])[..., None].astype("float32")
y = wave[30:390].astype("float32")

model = keras.Sequential([keras.Input((30, 1)), keras.layers.SimpleRNN(10), keras.layers.Dense(1)])
model.compile(optimizer="adam", loss="mse")
model.fit(Series(x, y, 36), epochs=4, verbose=0)
