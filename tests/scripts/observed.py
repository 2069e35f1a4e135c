"""Depend on all that an observer could change, then save the final weights by the process's number.

Also count how often data of each kind is read.
"""

import collections
import json
import os
import sys

assert not {"tensorflow", "keras", "numpy"} & set(sys.modules), "imported before the script did"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf  # noqa: E402

# Both fail once the runtime has started.
tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(3)

import random  # noqa: E402

import h5py  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
from small import X, Y, build  # noqa: E402

keras.utils.set_random_seed(11)
# The order of a set of words is that of their hashes.
columns = [int(word[1:]) for word in {f"c{number}" for number in range(6)}]
X = X[:, columns]


class Draws(keras.callbacks.Callback):
    """Draw from every generator of the process; the learning rate depends on the draws."""

    def on_epoch_end(self, epoch, logs=None):
        drawn = random.random() + np.random.rand() + float(tf.random.uniform(()))
        drawn += float(keras.random.uniform(()))
        logs["learning_rate"] = drawn
        self.model.optimizer.learning_rate.assign(drawn / 100)


def batches():
    # Keras draws ahead in its own thread, which would race for the global generator.
    generator = np.random.default_rng(1)
    while True:
        rows = generator.integers(len(X), size=16)
        yield X[rows], Y[rows]


model = build(dropout=0.3)
listed = keras.callbacks.CallbackList([Draws()], add_history=True, model=model, epochs=2, verbose=0, steps=6)
model.fit(batches(), steps_per_epoch=6, epochs=2, callbacks=listed, verbose=0)
model.fit(X, Y, 16, 2, 0, Draws(), 0.25)
lazy = keras.Sequential([keras.layers.Dropout(0.2), keras.layers.Dense(4), keras.layers.Dense(1)])
lazy.compile(keras.optimizers.Adam(0.01), "mse")
lazy.fit(tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(96).batch(32), epochs=2, verbose=0)
model.evaluate(X, Y, verbose=0)

READS = collections.Counter()


class Lazy:
    """A source that reads something else each time, such as a cursor or a sensor."""

    def __init__(self, name, values):
        self.name, self.values = name, values
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        READS[f"{self.name}, rows"] += 1
        return self.values[rows]

    def __array__(self, dtype=None, copy=None):
        READS[self.name] += 1
        return self.values + READS[self.name]


class CountedFile(h5py.Dataset):
    """A dataset of a file."""

    def __array__(self, *arguments, **options):
        READS["file"] += 1
        return super().__array__(*arguments, **options)


class Batches(keras.utils.PyDataset):
    """Numbered batches."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        READS["PyDataset"] += 1
        return X[index * 8 : index * 8 + 8], Y[:8]


def elements():
    READS["tf.data"] += 1
    for row in range(24):
        READS["tf.data, rows"] += 1
        yield X[row], Y[row]


def few():
    for row in range(0, 24, 8):
        READS["generator"] += 1
        yield X[row : row + 8], Y[row : row + 8]


reader = build()
reader.fit(Lazy("x", X), Lazy("y", Y), validation_data=(Lazy("validation", X), Y), epochs=2, verbose=0)
reader.fit([Lazy("listed", X)], Y, verbose=0)
reader.fit(X, Y, sample_weight=Lazy("weight", np.ones(len(X))), verbose=0)
reader.evaluate(Lazy("evaluated", X), Y, verbose=0)
reader.predict(Lazy("predicted", X), verbose=0)
with h5py.File(f"{sys.argv[1]}-{os.getpid()}.h5", "w") as file:
    reader.fit(CountedFile(file.create_dataset("x", data=X).id), Y, verbose=0)
reader.fit(Batches(), verbose=0)
spec = (tf.TensorSpec(X.shape[1:]), tf.TensorSpec(Y.shape[1:]))
reader.fit(tf.data.Dataset.from_generator(elements, output_signature=spec).batch(8), verbose=0)
reader.fit(few(), verbose=0)
with open(f"{sys.argv[1]}-{os.getpid()}.json", "w") as file:
    json.dump(READS, file)

state = [v.numpy() for m in (model, lazy, reader) for v in [*m.variables, *m.optimizer.variables]]
state += [np.asarray([random.random(), np.random.rand(), float(tf.random.uniform(()))])]
# An array for each variable, and no time stamp as in a zip file.
with open(f"{sys.argv[1]}-{os.getpid()}.bytes", "wb") as file:
    for array in state:
        file.write(np.ascontiguousarray(array).tobytes())
