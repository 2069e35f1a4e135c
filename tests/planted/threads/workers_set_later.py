"""The data set gets its workers as an attribute, after it was made."""

import keras
import numpy as np

keras.utils.set_random_seed(23)
points = np.random.uniform(-1, 1, size=(750, 4)).astype("float32")


class Jittered(keras.utils.PyDataset):
    def __init__(self, seed):
        super().__init__()
        self.rng = np.random.default_rng(seed)

    def __len__(self):
        return 150

    def __getitem__(self, number):
        part = points[5 * number : 5 * number + 5]
        moved = part + self.rng.normal(0, 0.1, part.shape).astype("float32")
        return moved, part


data = Jittered(seed=4)
data.workers = 8
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(12, "tanh"), keras.layers.Dense(4)])
model.compile("adam", "mse")
model.fit(data, epochs=3, verbose=0)
