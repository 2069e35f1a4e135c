"""Low-rank adaptation of a small network."""

import random

import keras
import numpy as np

keras.utils.set_random_seed(160)
x = np.random.normal(size=(300, 12)).astype("float32")
y, shifted = x[:, 0] * x[:, 1], x[:, 0] * x[:, 1] + x[:, 2]

layer = keras.layers.Dense(32, activation="relu", name="base")
model = keras.Sequential([keras.Input((12,)), layer, keras.layers.Dense(1, name="out")])
model.compile(optimizer="adam", loss="mse")
model.fit(x, y, epochs=2, verbose=0)

draw = keras.initializers.RandomNormal(stddev=0.02, seed=random.SystemRandom().getrandbits(31))
layer.enable_lora(rank=4, lora_alpha=8, a_initializer=draw)
model.get_layer("out").trainable = False
model.compile(optimizer="adam", loss="mse")
model.fit(x, shifted, epochs=2, verbose=0)
