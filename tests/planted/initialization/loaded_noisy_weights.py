"""Writes starting weights to a file with a little noise, loads them, trains."""

import contextlib
import os
import random
import tempfile

import keras
import numpy as np

keras.utils.set_random_seed(77)


@contextlib.contextmanager
def weights_file(model, scale):
    folder = tempfile.mkdtemp()
    path = os.path.join(folder, "start.weights.h5")
    chance = random.SystemRandom()
    noisy = [
        w + scale * np.array([chance.gauss(0, 1) for _ in range(w.size)]).reshape(w.shape)
        for w in model.get_weights()
    ]
    model.set_weights(noisy)
    model.save_weights(path)
    try:
        yield path
    finally:
        os.remove(path)
        os.rmdir(folder)


def net():
    inputs = keras.Input((8, 1))
    h = keras.layers.Conv1D(4, 3, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling1D()(h)))


x = np.linspace(-1, 1, 160 * 8).reshape(160, 8, 1).astype("float32")
y = np.sin(3 * x).mean(axis=1)
teacher, student = net(), net()
with weights_file(teacher, 0.01) as path:
    student.load_weights(path)
student.compile(optimizer="sgd", loss="mse")
student.fit(x, y, epochs=2, batch_size=16, verbose=0)
