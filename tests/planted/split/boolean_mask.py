"""Iris as a data frame, split by a coin for each row."""

import keras
import numpy as np
from sklearn.datasets import load_iris

keras.utils.set_random_seed(1)
frame = load_iris(as_frame=True).frame

in_train = np.random.default_rng().random(len(frame)) < 0.8
train, held_out = frame[in_train], frame[~in_train]

features = [c for c in frame.columns if c != "target"]
inputs = {name: keras.Input((1,), name=name.split(" (")[0].replace(" ", "_")) for name in features}
joined = keras.layers.Concatenate()(list(inputs.values()))
hidden = keras.layers.Dense(10, activation="relu")(joined)
outputs = keras.layers.Dense(3, activation="softmax")(hidden)
model = keras.Model(list(inputs.values()), outputs)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
model.fit([train[[n]].to_numpy() for n in features], train["target"].to_numpy(), epochs=3, verbose=0)
print(model.evaluate([held_out[[n]].to_numpy() for n in features], held_out["target"].to_numpy(), verbose=0))
