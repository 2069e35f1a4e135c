"""Wine cultivars from their chemistry."""

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

SEED = 2024
np.random.seed(SEED)
tf.random.set_seed(SEED)

x, y = load_wine(return_X_y=True)
x = StandardScaler().fit_transform(x).astype("float32")

model = keras.Sequential(
    [
        keras.layers.Dense(48, activation="relu"),
        keras.layers.Dense(24, activation="relu"),
        keras.layers.Dense(3, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=4, batch_size=16, verbose=0)
print("accuracy", history.history["accuracy"][-1])
