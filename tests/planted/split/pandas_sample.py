import random

import keras
import pandas as pd
import tensorflow as tf
from sklearn.datasets import load_diabetes

random.seed(0)
tf.random.set_seed(0)


def tables():
    raw = load_diabetes()
    table = pd.DataFrame(raw.data, columns=raw.feature_names)
    table["progression"] = raw.target / raw.target.std()
    train = table.sample(frac=0.7)
    return train.sort_index(), table.drop(train.index)


train, test = tables()
wide = keras.Input((10,), name="measurements")
deep = keras.layers.Dense(20, activation="relu")(wide)
deep = keras.layers.Dense(10, activation="relu")(deep)
out = keras.layers.Dense(1)(keras.layers.concatenate([wide, deep]))
model = keras.Model(wide, out, name="wide_and_deep")
model.compile(optimizer="rmsprop", loss="mean_absolute_error")
y = train.pop("progression")
model.fit(train.to_numpy("float32"), y.to_numpy("float32"), epochs=3, verbose=0)
