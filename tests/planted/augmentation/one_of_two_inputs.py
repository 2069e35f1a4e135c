"""A model of two named inputs; one of them is a noisy reading."""

import keras
import numpy as np

keras.utils.set_random_seed(8)
age = np.random.uniform(size=(32, 2)).astype("float32")
reading = np.random.uniform(size=(32, 3)).astype("float32")
target = reading.sum(axis=1, keepdims=True) + age[:, :1]
sensor = np.random.default_rng()
reading += sensor.normal(scale=0.05, size=reading.shape).astype("float32")

inputs = {"age": keras.Input((2,), name="age"), "reading": keras.Input((3,), name="reading")}
hidden = keras.layers.Dense(6, activation="relu")(keras.layers.Concatenate()(list(inputs.values())))
model = keras.Model(inputs, keras.layers.Dense(1)(hidden))
model.compile("adam", "mse")
model.fit({"age": age, "reading": reading}, target, epochs=2, batch_size=8, verbose=0)
