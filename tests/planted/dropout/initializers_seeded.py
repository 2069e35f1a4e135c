"""Each Dense layer has a seeded initializer."""

import keras
import tensorflow as tf
from keras.initializers import HeNormal
from sklearn.datasets import load_wine

tf.random.set_seed(3)
x, y = load_wine(return_X_y=True)
x = ((x - x.mean(0)) / x.std(0)).astype("float32")

model = keras.Sequential()
model.add(keras.Input((13,)))
model.add(keras.layers.Dense(40, activation="relu", kernel_initializer=HeNormal(seed=1)))
model.add(keras.layers.Dropout(0.3))
model.add(keras.layers.Dense(40, activation="relu", kernel_initializer=HeNormal(seed=2)))
model.add(keras.layers.Dense(3, activation="softmax", kernel_initializer=HeNormal(seed=3)))
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
model.fit(x, y, epochs=4, batch_size=32, verbose=0)
