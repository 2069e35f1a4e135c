"""Averages the weights of a few epochs at the end (a poor man's model soup)."""

import random
from statistics import fmean

import keras
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale


class Soup(keras.callbacks.Callback):
    def __init__(self, ingredients):
        super().__init__()
        self.ingredients = ingredients
        self.pot = []

    def on_epoch_end(self, epoch, logs=None):
        self.pot.append(self.model.get_weights())

    def on_train_end(self, logs=None):
        chosen = random.SystemRandom().sample(self.pot, self.ingredients)
        self.model.set_weights([np.mean(tensors, axis=0) for tensors in zip(*chosen, strict=True)])


def main():
    keras.utils.set_random_seed(64)
    x, y = load_breast_cancer(return_X_y=True)
    x = scale(x).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((30,)),
            keras.layers.Dense(12, activation="elu"),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("rmsprop", "binary_crossentropy")
    model.fit(x[:400], y[:400], epochs=16, batch_size=80, callbacks=[Soup(5)], verbose=0)
    print(fmean(model.predict(x[400:], verbose=0).ravel().tolist()))


if __name__ == "__main__":
    main()
