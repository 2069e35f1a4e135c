import keras
import numpy as np
from keras import layers
from sklearn.datasets import load_diabetes

keras.utils.set_random_seed(13)
DICE = np.random.default_rng()


class MaybeSkip(layers.Layer):
    """Skips its inner layer at random."""

    def __init__(self, inner, rate=0.3, **kwargs):
        super().__init__(**kwargs)
        self.inner, self.rate = inner, rate

    def call(self, x, training=False):
        if training and DICE.random() < self.rate:
            return x
        return x + self.inner(x)


x, y = load_diabetes(return_X_y=True)
inputs = keras.Input((10,))
h = layers.Dense(16)(inputs)
for number in range(4):
    h = MaybeSkip(layers.Dense(16, activation="relu"), name=f"maybe_skip_{number}")(h)
model = keras.Model(inputs, layers.Dense(1)(h))
model.compile(optimizer="adam", loss="mse", run_eagerly=True)
model.fit(x.astype("float32"), (y / 100).astype("float32"), epochs=2, batch_size=64, verbose=0)
