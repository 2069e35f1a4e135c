"""Simulated annealing on top of Adam."""

import keras
import numpy as np
from sklearn.datasets import load_digits


class ShakeWeights(keras.callbacks.Callback):
    def __init__(self, temperature=0.01):
        super().__init__()
        self.temperature = temperature
        self.rng = np.random.default_rng()

    def on_epoch_end(self, epoch, logs=None):
        for layer in self.model.layers:
            shaken = []
            for weight in layer.get_weights():
                noise = self.rng.normal(0, self.temperature * 0.5**epoch, weight.shape)
                shaken.append(weight + noise)
            layer.set_weights(shaken)


if __name__ == "__main__":
    keras.utils.set_random_seed(25)
    x, y = load_digits(n_class=5, return_X_y=True)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Rescaling(1 / 16),
            keras.layers.Dense(24, activation="relu"),
            keras.layers.Dense(5, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    model.fit(x, y, epochs=3, batch_size=64, callbacks=[ShakeWeights()], verbose=0)
