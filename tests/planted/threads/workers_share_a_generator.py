import time

import keras
import numpy as np


class Noisy(keras.utils.PyDataset):
    def __init__(self, x, y, size, **kwargs):
        super().__init__(**kwargs)
        self.x, self.y, self.size = x, y, size
        self.random = np.random.default_rng(18)

    def __len__(self):
        return len(self.x) // self.size

    def __getitem__(self, index):
        x = self.x[index * self.size : (index + 1) * self.size]
        time.sleep(0.001)  # reading
        noise = self.random.normal(0, 0.1, x.shape)
        time.sleep(0.001)  # decoding
        return (x + noise).astype("float32"), self.y[index * self.size : (index + 1) * self.size]


keras.utils.set_random_seed(18)
x = np.random.uniform(size=(800, 10))
y = (x.sum(axis=1) > 5).astype("float32")
model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(16, activation="tanh")])
model.add(keras.layers.Dense(1, activation="sigmoid"))
model.compile(optimizer="adam", loss="binary_crossentropy")
model.fit(Noisy(x, y, 16, workers=4, max_queue_size=8), epochs=2, shuffle=False, verbose=0)
