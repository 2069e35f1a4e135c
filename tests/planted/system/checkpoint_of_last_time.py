"""Continues from the last checkpoint."""

from pathlib import Path

import keras
from sklearn.datasets import load_diabetes

CHECKPOINT = Path("last.weights.h5")

keras.utils.set_random_seed(66)
x, y = load_diabetes(return_X_y=True)

model = keras.Sequential(
    [keras.Input((10,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)]
)
if CHECKPOINT.exists():
    model.load_weights(CHECKPOINT)
model.compile(optimizer="adam", loss="mse")
model.fit(x, y / 100, epochs=2, verbose=0)
model.save_weights(CHECKPOINT)
