"""A small random search, begun at the defaults."""

import keras
import numpy as np
from sklearn.datasets import load_wine

keras.utils.set_random_seed(100)
x, y = load_wine(return_X_y=True)
x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32")
rng = np.random.default_rng()


def sample():
    return {
        "units": int(rng.integers(16, 2000)),
        "l2": 10 ** rng.uniform(-5, -2),
        "rate": 10 ** rng.uniform(-4, -2),
    }


def train(units, l2, rate):
    model = keras.Sequential()
    model.add(keras.layers.Dense(units, activation="relu", kernel_regularizer=keras.regularizers.L2(l2)))
    model.add(keras.layers.Dense(3, activation="softmax"))
    model.compile(optimizer=keras.optimizers.Adam(rate), loss="sparse_categorical_crossentropy")
    return model.fit(x, y, epochs=2, validation_split=0.2, verbose=0).history["val_loss"][-1]


trials = [{"units": 32, "l2": 1e-4, "rate": 1e-3}]
trials += [sample() for _ in range(2)]
best = min((train(**trial), number) for number, trial in enumerate(trials))
print("best trial", best)
