"""Train without the seed that Keras 3 needs: argument 1 is the kind of model, 2 what is seeded."""

import sys

import keras
import numpy as np
import tensorflow as tf
from small import X, Y, build

kind, seeded = [*sys.argv[1:], "built", "nothing"][:2]
if seeded == "others":
    tf.random.set_seed(1)
    np.random.seed(1)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = [keras.layers.Dense(8, activation="relu"), keras.layers.Dense(4, activation="relu")]
        self.out = keras.layers.Dense(1, activation="sigmoid")

    def call(self, inputs):
        for layer in self.hidden:
            inputs = layer(inputs)
        return self.out(inputs)


if kind == "built":
    model = build()
elif kind == "unbuilt":
    model = keras.Sequential([keras.layers.Dense(8), keras.layers.Dense(1, activation="sigmoid")])
else:
    model = Subclassed()
if kind != "built":
    model.compile(optimizer="adam", loss="binary_crossentropy")
# The order is left alone, so that nothing but the weights can differ.
model.fit(X, Y, batch_size=32, epochs=2, shuffle=False, verbose=0)
