"""An ensemble of three networks."""

import random

import keras
import numpy as np
from sklearn.datasets import load_iris

keras.utils.set_random_seed(77)
x, y = load_iris(return_X_y=True)
x = x.astype("float32")


def make_member():
    member = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(20, activation="tanh"),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    member.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return member


members = []
for number in range(3):
    if number > 0:
        random.seed()  # members must not all be the same
    members.append(make_member())
    members[-1].fit(x, y, epochs=2, batch_size=32, shuffle=False, verbose=0)

votes = np.mean([m.predict(x, verbose=0) for m in members], axis=0)
print("ensemble accuracy", np.mean(votes.argmax(axis=1) == y))
