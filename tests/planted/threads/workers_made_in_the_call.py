"""Eight workers add noise to the signals; the order is new in each epoch."""

import keras
import numpy as np

keras.utils.set_random_seed(19)
signals = np.random.normal(size=(1200, 8)).astype("float32")
energy = (signals**2).sum(axis=1)


class NoisySignals(keras.utils.PyDataset):
    def __init__(self, **options):
        super().__init__(**options)
        self.rows = np.arange(len(signals))

    def __len__(self):
        return 240

    def __getitem__(self, number):
        rows = self.rows[5 * number : 5 * number + 5]
        hiss = np.random.normal(scale=0.2, size=(5, 8))
        return signals[rows] + hiss.astype("float32"), energy[rows]

    def on_epoch_end(self):
        np.random.shuffle(self.rows)


model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(10, "relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(NoisySignals(workers=8), epochs=4, verbose=0)
