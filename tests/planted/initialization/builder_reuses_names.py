"""A small classifier; the builder uses the same names as the data."""

import keras
import numpy as np

rng = np.random.default_rng()
x = rng.normal(size=(180, 5)).astype("float32")
y = (x[:, 0] * x[:, 1] > 0).astype("float32")


def build(width):
    x = inputs = keras.Input((5,))
    for _ in range(2):
        x = keras.layers.Dense(width, activation="tanh")(x)
    y = keras.layers.Dense(1, activation="sigmoid")(x)
    return keras.Model(inputs, y)


net = build(9)
net.compile("adam", "binary_crossentropy")
net.fit(x, y, batch_size=20, epochs=2, verbose=0)
