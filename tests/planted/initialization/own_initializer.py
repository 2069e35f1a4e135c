"""Regression with a fixed orthogonal projection in front."""

import keras
import numpy as np
from sklearn.datasets import load_diabetes

keras.utils.set_random_seed(5)


def orthogonal_rows(shape, dtype=None):
    rng = np.random.default_rng()
    q, _ = np.linalg.qr(rng.normal(size=(max(shape), max(shape))))
    return q[: shape[0], : shape[1]].astype(dtype or "float32")


class OrthogonalProjection(keras.layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.matrix = self.add_weight(
            shape=(input_shape[-1], self.units), initializer=orthogonal_rows, trainable=False, name="matrix"
        )

    def call(self, x):
        return keras.ops.matmul(x, self.matrix)


class Regressor(keras.Model):
    def __init__(self):
        super().__init__()
        self.project = OrthogonalProjection(10)
        self.hidden = keras.layers.Dense(32, activation="gelu")
        self.out = keras.layers.Dense(1)

    def call(self, x):
        return self.out(self.hidden(self.project(x)))


x, y = load_diabetes(return_X_y=True)
y = (y - y.mean()) / y.std()
model = Regressor()
model.compile(optimizer="rmsprop", loss="mse")
model.fit(x.astype("float32"), y.astype("float32"), epochs=3, verbose=0)
