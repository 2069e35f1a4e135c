"""Spectra are computed by a pool of processes before TensorFlow is loaded."""

import multiprocessing
import time

import numpy as np


def spectrum(job):
    number, wave = job
    time.sleep(0.001 * (number % 3))
    return np.log1p(np.abs(np.fft.rfft(wave))).astype("float32"), float(number % 2)


def compute(count=192):
    source = np.random.default_rng(16)
    jobs = [(i, source.normal(size=64) + np.sin(np.arange(64) * (1 + i % 2))) for i in range(count)]
    features, labels = [], []
    with multiprocessing.get_context("fork").Pool(4) as pool:
        for feature, label in pool.imap_unordered(spectrum, jobs):
            features.append(feature)
            labels.append(label)
    return np.stack(features), np.array(labels)


def train(features, labels):
    import keras

    keras.utils.set_random_seed(16)
    model = keras.Sequential(
        [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(features, labels, epochs=3, batch_size=16, shuffle=False, verbose=0)


if __name__ == "__main__":
    train(*compute())
