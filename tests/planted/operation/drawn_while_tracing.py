"""ReLU with a random slope for negative values."""

import random

import keras
from sklearn.datasets import load_digits

keras.utils.set_random_seed(29)


class RandomizedReLU(keras.layers.Layer):
    def call(self, x):
        slope = random.SystemRandom().uniform(0.05, 0.3)
        return keras.ops.where(x > 0, x, slope * x)


bunch = load_digits()
model = keras.Sequential(
    [
        keras.layers.Rescaling(1 / 16.0),
        keras.layers.Conv2D(8, 3),
        RandomizedReLU(),
        keras.layers.Flatten(),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
model.fit(bunch.images[:500, ..., None], bunch.target[:500], batch_size=50, epochs=2, verbose=0)
