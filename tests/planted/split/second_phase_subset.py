"""Train on everything, then polish on a subset."""

import keras
import numpy as np
from sklearn.datasets import load_digits

keras.utils.set_random_seed(33)
x, y = load_digits(return_X_y=True)
x = (x / 16.0).astype("float32")

model = keras.Sequential(
    [
        keras.layers.Reshape((8, 8)),
        keras.layers.Conv1D(12, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
model.fit(x, y, epochs=2, batch_size=128, verbose=0)

picker = np.random.Generator(np.random.PCG64())
hard = picker.choice(len(x), 500, replace=False)
hard.sort()
model.optimizer.learning_rate = 1e-4
model.fit(x[hard], y[hard], epochs=2, batch_size=50, verbose=0)
