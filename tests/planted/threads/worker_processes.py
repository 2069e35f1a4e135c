"""A PyDataset with worker processes, each of which has its own copy of NumPy's generator."""

import time

import keras
import numpy as np


class Noisy(keras.utils.PyDataset):
    def __init__(self, x, y, size, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y, self.size = x, y, size

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, index):
        rows = slice(index * self.size, (index + 1) * self.size)
        time.sleep(0.001 * (time.perf_counter_ns() // 1000 % 7))
        return self.x[rows] + np.random.normal(0, 0.3, (self.size, self.x.shape[1])), self.y[rows]


def main():
    keras.utils.set_random_seed(52)
    x = np.random.normal(size=(320, 6))
    y = x[:, :1] * x[:, 1:2]
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(12, "relu"), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    data = Noisy(x, y, 16, workers=3, use_multiprocessing=True, max_queue_size=8)
    model.fit(data, epochs=2, shuffle=False, verbose=0)


if __name__ == "__main__":
    main()
