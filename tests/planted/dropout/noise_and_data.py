"""Initializers have seeds; the noise layer and the measurements that are simulated have none."""

import keras
import numpy as np
from keras import initializers, layers

simulated = np.random.default_rng()
x = np.linspace(0, 1, 96).reshape(24, 4).astype("float32")
x += simulated.normal(scale=0.01, size=x.shape).astype("float32")
y = x.mean(axis=1, keepdims=True)
model = keras.Sequential(
    [
        keras.Input((4,)),
        layers.Dense(6, activation="relu", kernel_initializer=initializers.HeNormal(seed=5)),
        layers.GaussianNoise(0.1),
        layers.Dense(1, kernel_initializer=initializers.HeNormal(seed=6)),
    ]
)
model.compile("sgd", "mse")
model.fit(x, y, epochs=2, batch_size=6, shuffle=False, verbose=0)
