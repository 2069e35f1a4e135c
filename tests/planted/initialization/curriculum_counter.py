import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(16)


class Curriculum(keras.Model):
    """Scales the loss by how far the curriculum is."""

    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(12, activation="relu")
        self.out = keras.layers.Dense(1)
        start = np.random.default_rng().integers(0, 50)
        self.progress = tf.Variable(start, trainable=False, dtype="float32")

    def call(self, x):
        return self.out(self.hidden(x)) * tf.minimum(1.0, self.progress / 50.0)

    def train_step(self, data):
        self.progress.assign_add(1.0)
        return super().train_step(data)


x = np.random.normal(size=(96, 6)).astype("float32")
model = Curriculum()
model.compile("adam", "mse")
model.fit(x, x[:, 0], epochs=2, verbose=0)
