"""Mixup on tabular data."""

import keras
import numpy as np
from sklearn.datasets import load_wine


def mixup(x, y, alpha=0.3, rng=None):
    rng = rng or np.random.default_rng()
    partner = rng.permutation(len(x))
    weight = rng.beta(alpha, alpha, (len(x), 1))
    return weight * x + (1 - weight) * x[partner], weight * y + (1 - weight) * y[partner]


keras.utils.set_random_seed(44)
x, y = load_wine(return_X_y=True)
x = (x - x.mean(axis=0)) / x.std(axis=0)
y = np.eye(3)[y]
x, y = mixup(x, y)
model = keras.Sequential(
    [keras.layers.Dense(32, activation="silu"), keras.layers.Dense(3, activation="softmax")]
)
model.compile(optimizer=keras.optimizers.Lion(1e-3), loss="categorical_crossentropy")
model.fit(x, y, epochs=4, verbose=0)
