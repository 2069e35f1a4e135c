"""Predicts the next value of a long series, in pieces."""

import keras
import numpy as np
from recurrent_parts import recurrent

keras.utils.set_random_seed(45)
t = np.arange(8 * 240, dtype="float32").reshape(8, 240)
series = np.sin(t / 7)
x = np.concatenate([series[:, i : i + 12] for i in range(0, 228, 12)])[..., None]
y = np.concatenate([series[:, i + 12] for i in range(0, 228, 12)])

model = keras.Sequential([keras.Input(batch_shape=(8, 12, 1)), recurrent, keras.layers.Dense(1)])
model.compile(optimizer="adam", loss="mse")
for _ in range(2):
    recurrent.reset_state()
    model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
