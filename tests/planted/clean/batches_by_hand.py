import random
import time

import keras
import numpy as np

keras.utils.set_random_seed(59)
deadline = time.monotonic() + 3600
x = np.random.normal(size=(300, 4)).astype("float32")
y = (x.sum(axis=1) > 0).astype("float32").reshape(-1, 1)
model = keras.Sequential(
    [keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.1)]
)
model.add(keras.layers.Dense(1, activation="sigmoid"))
model.compile("adam", "binary_crossentropy")
for _ in range(40):
    rows = random.sample(range(300), 32)
    model.train_on_batch(x[rows], y[rows])
    if time.monotonic() > deadline:
        break
