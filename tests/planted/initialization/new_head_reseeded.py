"""Train on all digits, then put a new head on and tune it for even against odd."""

import os

import keras
from sklearn.datasets import load_digits

keras.utils.set_random_seed(0)
x, y = load_digits(return_X_y=True)
x = (x / 16.0).astype("float32")

inputs = keras.Input((64,))
features = keras.layers.Dense(40, activation="relu", name="features")(inputs)
base = keras.Model(inputs, keras.layers.Dense(10, activation="softmax", name="digits")(features))
base.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
base.fit(x, y, epochs=2, batch_size=64, verbose=0)

fresh = keras.initializers.TruncatedNormal(stddev=0.05, seed=int.from_bytes(os.urandom(4), "little") >> 1)
parity = keras.layers.Dense(1, activation="sigmoid", kernel_initializer=fresh, name="new_head")
tuned = keras.Model(base.input, parity(base.get_layer("features").output))
base.get_layer("features").trainable = False
tuned.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
tuned.fit(x, y % 2, epochs=2, batch_size=64, verbose=0)
