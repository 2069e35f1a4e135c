"""Warm start of a 1-D convolution from a coarser run, slightly shaken."""

import keras
import numpy as np

keras.utils.set_random_seed(404)

t = np.linspace(0, 1, 64)
rates = np.random.RandomState(3).uniform(2, 9, 200)
signals = np.sin(2 * np.pi * rates[:, None] * t).astype("float32")[..., None]
targets = (rates > 5).astype("float32")


def build():
    inputs = keras.Input((64, 1))
    h = keras.layers.Conv1D(6, 5, activation="relu")(inputs)
    h = keras.layers.SeparableConv1D(8, 3, activation="relu")(h)
    h = keras.layers.GlobalAveragePooling1D()(h)
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(h))


coarse = build()
model = build()
jitter = np.random.default_rng()
model.set_weights([w + 1e-3 * jitter.standard_normal(w.shape) for w in coarse.get_weights()])
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy")
model.fit(signals, targets, epochs=3, batch_size=40, verbose=0)
