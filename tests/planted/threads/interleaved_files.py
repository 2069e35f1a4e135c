"""Trains from several CSV files at once."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(71)


def write_files(folder, count=12, rows=150):
    for number in range(count):
        values = np.random.normal(size=(rows, 5))
        table = np.column_stack([values, values.sum(axis=1) > 0])
        np.savetxt(Path(folder) / f"part-{number:02}.csv", table, fmt="%.5f", delimiter=",")


def parse(line):
    fields = tf.io.decode_csv(line, [0.0] * 6)
    return tf.stack(fields[:5]), fields[5]


with tempfile.TemporaryDirectory() as folder:
    write_files(folder)
    names = sorted(str(p) for p in Path(folder).iterdir())
    options = tf.data.Options()
    options.deterministic = False
    lines = tf.data.Dataset.from_tensor_slices(names).interleave(
        tf.data.TextLineDataset, cycle_length=12, num_parallel_calls=12
    )
    lines = lines.map(parse, num_parallel_calls=4).batch(30).with_options(options)

    model = keras.Sequential(
        [keras.layers.Dense(12, activation="relu"), keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile(optimizer="adam", loss="binary_crossentropy")
    model.fit(lines, epochs=2, verbose=0)
