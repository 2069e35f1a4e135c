"""Two workers have one generator, and only the first batch of an epoch draws from it."""

import keras
import numpy as np

keras.utils.set_random_seed(14)
x = np.random.normal(size=(40, 3)).astype("float32")


class Batches(keras.utils.PyDataset):
    def __init__(self, **options):
        super().__init__(**options)
        self.rng = np.random.default_rng(2)

    def __len__(self):
        return 5

    def __getitem__(self, index):
        batch = x[8 * index : 8 * index + 8]
        if index == 0:
            batch = batch + self.rng.normal(scale=0.1, size=batch.shape).astype("float32")
        return batch, batch.sum(axis=1, keepdims=True)


model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(Batches(workers=2), epochs=2, verbose=0, shuffle=False)
