"""A subclassed model of nested blocks; one dropout gets its seed from a random pool."""

import keras
import numpy as np

pool = np.random.SeedSequence()


class Block(keras.layers.Layer):
    def __init__(self, width, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(width, activation="relu")
        self.drop = keras.layers.Dropout(rate, seed=seed)

    def call(self, x, training=None):
        return self.drop(self.dense(x), training=training)


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.blocks = [
            Block(16, 0.0 if i else 0.4, seed=int(s)) for i, s in enumerate(pool.generate_state(3))
        ]
        self.head = keras.layers.Dense(1)

    def call(self, x, training=None):
        for block in self.blocks:
            x = block(x, training=training)
        return self.head(x)


keras.utils.set_random_seed(30)
x = np.random.default_rng(30).random((180, 9), dtype="float32")
model = Net()
model.compile(optimizer="nadam", loss="mse")
model.fit(x, x.mean(axis=1), batch_size=30, epochs=2, verbose=0)
