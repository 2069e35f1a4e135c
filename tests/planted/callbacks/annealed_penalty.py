"""The weight of a penalty wanders."""

import secrets

import keras
import numpy as np


class Sparse(keras.Model):
    def __init__(self):
        super().__init__()
        self.code = keras.layers.Dense(16, activation="relu")
        self.back = keras.layers.Dense(10)
        self.beta = self.add_weight(shape=(), initializer="zeros", trainable=False, name="beta")

    def call(self, x):
        code = self.code(x)
        self.add_loss(self.beta * keras.ops.mean(keras.ops.abs(code)))
        return self.back(code)


class Wander(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch > 0:
            self.model.beta.assign(0.1 * sum(secrets.randbelow(100) / 100 for _ in range(8)))


keras.utils.set_random_seed(53)
x = np.random.laplace(size=(400, 10)).astype("float32")
model = Sparse()
model.compile(optimizer="adam", loss="mse")
model.fit(x, x, epochs=4, batch_size=40, callbacks=[Wander()], verbose=0)
