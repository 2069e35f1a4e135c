"""Langevin-like training with a noisy optimizer."""

import random

import keras
import numpy as np
from optimizers import NoisySGD

random.seed(1)
np.random.seed(1)

x = np.random.uniform(-3, 3, (256, 1)).astype("float32")
y = np.cos(x)
model = keras.Sequential(
    [keras.Input((1,)), keras.layers.Dense(24, activation="tanh"), keras.layers.Dense(1)]
)
model.compile(optimizer=NoisySGD(learning_rate=0.05), loss="mse")
model.fit(x, y, epochs=3, batch_size=32, shuffle=False, verbose=0)
