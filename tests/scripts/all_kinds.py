"""Train on each kind of data that `fit` accepts, and write the results to `result.json`."""

import json

import keras
import numpy as np
import tensorflow as tf

from keras_repro.training.state.fast_reader import StateReader

rng = np.random.default_rng(3)
X = rng.normal(size=(50, 6)).astype("float32")
Y = (X.sum(axis=1) > 0).astype("int64")
WEIGHTS = rng.uniform(0.5, 2.0, size=50).astype("float32")


def model(named=False, **arguments):
    inputs = {n: keras.Input((6,), name=n) for n in "ab"} if named else keras.Input((6,))
    merged = keras.layers.Concatenate()([inputs["a"], inputs["b"]]) if named else inputs
    hidden = keras.layers.Dropout(0.3)(keras.layers.Dense(8, activation="relu")(merged))
    result = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(hidden))
    result.compile("adam", "sparse_categorical_crossentropy", **({"jit_compile": False} | arguments))
    return result


def dataset():
    return tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(50, seed=1).batch(8)


def unknown_length():
    return tf.data.Dataset.from_generator(
        lambda: zip(np.split(X, [8, 20, 27]), np.split(Y, [8, 20, 27]), strict=True),
        output_signature=(tf.TensorSpec((None, 6), tf.float32), tf.TensorSpec((None,), tf.int64)),
    )


def generator():
    while True:
        rows = rng.permutation(50)[:8]
        yield X[rows], Y[rows]


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 7

    def __getitem__(self, index):
        return X[index * 8 : index * 8 + 8], Y[index * 8 : index * 8 + 8]


class Again(keras.callbacks.Callback):
    """Recreate the training function, as is done to freeze layers between epochs."""

    def on_epoch_begin(self, epoch, logs=None):
        self.model.make_train_function(force=True)


CASES = {
    "arrays": (model, lambda: {"x": X, "y": Y, "sample_weight": WEIGHTS, "validation_split": 0.2}),
    "dict": (
        lambda: model(named=True),
        lambda: {"x": {"a": X, "b": X[::-1]}, "y": Y, "class_weight": {0: 1.0, 1: 3.0}},
    ),
    "unknown": (model, lambda: {"x": unknown_length()}),
    "at once": (
        lambda: model(steps_per_execution=4),
        lambda: {"x": dataset(), "validation_data": (X[:9], Y[:9])},
    ),
    "unknown at once": (lambda: model(steps_per_execution=3), lambda: {"x": unknown_length().repeat(2)}),
    "compiled": (lambda: model(jit_compile=True), lambda: {"x": dataset().repeat(), "steps_per_epoch": 5}),
    "batches": (model, lambda: {"x": Batches(workers=2)}),
    "generator": (model, lambda: {"x": generator(), "steps_per_epoch": 4, "callbacks": [Again()]}),
    "eager": (lambda: model(run_eagerly=True), lambda: {"x": dataset()}),
}


def main():
    results = {}
    for name, (build, arguments) in CASES.items():
        keras.utils.set_random_seed(11)
        trained = build()
        trained.fit(**arguments(), epochs=2, verbose=0)
        results[name] = StateReader(trained).digests()
        assert not hasattr(trained.train_function, "function"), name
    with open("result.json", "w") as file:
        json.dump(results, file)


main()
