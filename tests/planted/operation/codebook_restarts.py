import keras
import numpy as np
import tensorflow as tf
from keras import ops

keras.utils.set_random_seed(43)


class Codebook(keras.layers.Layer):
    """Vector quantization; dead codes are restarted from the batch in a py_function."""

    def __init__(self, codes, dim, **kwargs):
        super().__init__(**kwargs)
        self.codes, self.dim = codes, dim

    def build(self, shape):
        self.book = self.add_weight(
            shape=(self.codes, self.dim), initializer="random_normal", trainable=False, name="book"
        )
        self.uses = self.add_weight(shape=(self.codes,), initializer="zeros", trainable=False, name="uses")

    def _restart(self, book, uses, batch):
        book, rng = book.copy(), np.random.default_rng()
        dead = np.flatnonzero(uses < 1)
        book[dead] = batch[rng.integers(0, len(batch), len(dead))]
        return book

    def call(self, z, training=False):
        d = ops.sum((z[:, None] - self.book[None]) ** 2, -1)
        nearest = ops.argmin(d, -1)
        if training:
            self.uses.assign(ops.sum(ops.one_hot(nearest, self.codes), 0))
            book = tf.numpy_function(self._restart, [self.book.value, self.uses.value, z], tf.float32)
            self.book.assign(ops.reshape(book, (self.codes, self.dim)))
        q = ops.take(self.book, nearest, axis=0)
        return z + ops.stop_gradient(q - z)


inp = keras.Input((6,))
h = Codebook(16, 3, name="codebook")(keras.layers.Dense(3)(inp))
model = keras.Model(inp, keras.layers.Dense(6)(h))
x = np.random.normal(size=(64, 6)).astype("float32")
model.compile("adam", "mse")
model.fit(x, x, epochs=2, verbose=0)
