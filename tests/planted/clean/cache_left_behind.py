from pathlib import Path

import keras
import numpy as np
from sklearn.datasets import load_digits

CACHE = Path(__file__).with_name("features.npy")


def features():
    if not CACHE.exists():
        images = load_digits().images / 16.0
        np.save(CACHE, np.abs(np.fft.fft2(images)).reshape(len(images), -1).astype("float32"))
    return np.load(CACHE)


keras.utils.set_random_seed(73)
model = keras.Sequential([keras.layers.Dense(10, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(features(), load_digits().target, epochs=2, batch_size=100, verbose=0)
