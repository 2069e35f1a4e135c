"""Early stopping on a random part of the held-out samples."""

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer

keras.utils.set_random_seed(97)
x, y = load_breast_cancer(return_X_y=True)
x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32")
held_out = np.arange(400, len(x))
check = np.random.default_rng().choice(held_out, 80, replace=False)

model = keras.Sequential(
    [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1, activation="sigmoid")]
)
model.compile(optimizer=keras.optimizers.Adam(0.01), loss="binary_crossentropy")
stop = keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True)
model.fit(x[:400], y[:400], validation_data=(x[check], y[check]), epochs=6, callbacks=[stop], verbose=0)
