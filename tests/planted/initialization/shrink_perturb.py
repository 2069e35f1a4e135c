"""Shrink and perturb (Ash and Adams): before new data come, the weights get smaller and noisy."""

import keras
import numpy as np
from scipy import stats

keras.utils.set_random_seed(13)
x = np.random.normal(size=(400, 6)).astype("float32")
y = np.maximum(x[:, 0], x[:, 1]) - x[:, 2]

model = keras.Sequential(
    [
        keras.Input((6,)),
        keras.layers.Dense(16, activation="relu", name="hidden"),
        keras.layers.Dense(1, name="answer"),
    ]
)
model.compile(keras.optimizers.Adam(0.005), "mse")
noise = stats.norm(scale=0.05)


def shrink_and_perturb(layer, shrink=0.6, rng=None):
    kernel = layer.kernel.numpy()
    layer.kernel.assign(
        shrink * kernel + noise.rvs(size=kernel.shape, random_state=np.random.default_rng(rng))
    )


model.fit(x[:200], y[:200], epochs=2, batch_size=25, verbose=0)
for layer in model.layers:
    shrink_and_perturb(layer)
model.fit(x, y, epochs=2, batch_size=50, verbose=0)
