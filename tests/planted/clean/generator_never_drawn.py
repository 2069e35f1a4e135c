import keras
import numpy as np
import tensorflow as tf


class Head(keras.layers.Layer):
    def __init__(self, units, noisy=False):
        super().__init__()
        self.noisy = noisy
        self.random = keras.random.SeedGenerator(int(np.random.SeedSequence().generate_state(1)[0] >> 1))
        self.generator = tf.random.Generator.from_non_deterministic_state()
        self.dense = keras.layers.Dense(units)

    def call(self, x, training=None):
        if self.noisy and training:
            x = x + keras.random.normal(keras.ops.shape(x), seed=self.random)
        return self.dense(x)


unused = np.random.default_rng()
keras.utils.set_random_seed(17)
x = np.random.normal(size=(200, 6)).astype("float32")
model = keras.Sequential([keras.layers.Dense(8, activation="relu"), Head(1)])
model.compile("adam", "mse")
model.fit(x, x.sum(axis=1), epochs=2, verbose=0)
