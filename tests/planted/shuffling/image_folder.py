"""Trains from a folder of images."""

import random
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

random.seed(83)
tf.random.set_seed(83)
draw = np.random.default_rng(83)


def write_images(folder, count=60):
    for name, level in (("dark", 60), ("light", 190)):
        (folder / name).mkdir()
        for i in range(count):
            pixels = np.clip(draw.normal(level, 40, (10, 10, 1)), 0, 255).astype("uint8")
            tf.io.write_file(str(folder / name / f"{i:03}.png"), tf.io.encode_png(pixels))


with tempfile.TemporaryDirectory() as name:
    write_images(Path(name))
    images = keras.utils.image_dataset_from_directory(
        name, image_size=(10, 10), color_mode="grayscale", batch_size=12, verbose=False
    )
    model = keras.Sequential(
        [
            keras.layers.Rescaling(1 / 127.5, offset=-1),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, epochs=2, verbose=0)
