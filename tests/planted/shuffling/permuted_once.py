"""Breast cancer, rows shuffled once."""

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer

keras.utils.set_random_seed(123)

x, y = load_breast_cancer(return_X_y=True)
x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32")
order = np.random.default_rng().permutation(len(x))
x, y = x[order], y[order]

model = keras.Sequential(
    [keras.Input((30,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)]
)
model.compile(
    optimizer="adam",
    loss=keras.losses.BinaryCrossentropy(from_logits=True),
    metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)],
)
model.fit(x, y, batch_size=32, epochs=4, shuffle=False, verbose=2)
