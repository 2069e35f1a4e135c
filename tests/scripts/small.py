"""Small data and a small model for the scripts in this folder."""

import keras
import numpy as np

_rng = np.random.default_rng(7)
X = _rng.normal(size=(96, 6)).astype("float32")
Y = (X.sum(axis=1) > 0).astype("float32")


def build(units=8, dropout=0.0):
    """Return a compiled model."""
    layers = [keras.Input((6,)), keras.layers.Dense(units, activation="relu")]
    if dropout is not None:
        layers.append(keras.layers.Dropout(dropout))
    model = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    return model
