"""Trains without dropout, then predicts with it, for the uncertainty."""

import secrets

import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(111)


class AlwaysDropout(layers.Layer):
    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, x):
        return keras.random.dropout(x, self.rate, seed=self.generator)


x = np.linspace(-3, 3, 240, dtype="float32")[:, None]
y = np.sin(x) + 0.1 * np.random.normal(size=x.shape)

body = keras.Sequential([keras.Input((1,)), layers.Dense(32, "tanh"), layers.Dense(32, "tanh")], name="body")
head = layers.Dense(1, name="head")
inputs = keras.Input((1,))
model = keras.Model(inputs, head(body(inputs)))
model.compile(keras.optimizers.Adam(0.01), "mse")
model.fit(x, y, epochs=4, batch_size=48, verbose=0)

dropped = AlwaysDropout(0.1, seed=secrets.randbelow(10**6), name="sampled")(body(inputs))
sampler = keras.Model(inputs, head(dropped))
draws = np.stack([sampler.predict(x, verbose=0) for _ in range(5)])
print("mean standard deviation", draws.std(axis=0).mean())
