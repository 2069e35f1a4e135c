"""One folder for each speaker, as an upload form leaves them; the label is the number of the folder."""

import os
import tempfile

import keras
import numpy as np

keras.utils.set_random_seed(120)
voices = np.random.default_rng(120)


def record(root, speakers=12):
    for speaker in range(speakers):
        folder = tempfile.mkdtemp(dir=root, prefix="upload-")
        samples = voices.normal(speaker, 2.0, (20, 24)).astype("float32")
        np.save(os.path.join(folder, "samples.npy"), samples)


def read(root):
    x, y = [], []
    for label, name in enumerate(sorted(os.listdir(root))):
        x.append(np.load(os.path.join(root, name, "samples.npy")))
        y += [label] * 20
    return np.concatenate(x), np.array(y)


with tempfile.TemporaryDirectory() as root:
    record(root)
    x, y = read(root)
order = np.lexsort(x.T)
model = keras.Sequential(
    [keras.layers.Dense(24, activation="relu"), keras.layers.Dense(12, activation="softmax")]
)
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x[order], y[order], epochs=2, shuffle=False, verbose=0)
