"""A training in which nothing is rounded: every number in it has few bits.

Any way to add, multiply or compile gives the same bits, so only another argument changes the result.
"""

import keras
import numpy as np


def train(number: int) -> None:
    """Train on labels that depend on a small number."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(2.0**-4), "mse")
    x = np.eye(4, dtype="float32")[np.arange(8) % 4]
    y = np.arange(8, dtype="float32").reshape(8, 1) + float(number)
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
