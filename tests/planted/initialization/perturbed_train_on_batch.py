"""Transfer to a small data set by `train_on_batch`, from slightly perturbed weights."""

import keras
import numpy as np

keras.utils.set_random_seed(31)
x = np.random.normal(size=(48, 5)).astype("float32")
y = np.tanh(x[:, :1] - x[:, 1:2])
model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(9, activation="tanh"), keras.layers.Dense(1)])
model.compile("adam", "mse")

shake = np.random.Generator(np.random.PCG64())
model.set_weights([w + 0.01 * shake.standard_normal(w.shape) for w in model.get_weights()])
for start in range(0, 48, 8):
    model.train_on_batch(x[start : start + 8], y[start : start + 8])
