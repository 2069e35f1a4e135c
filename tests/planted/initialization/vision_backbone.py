"""The network of the digits experiments, shared by all of them."""

import keras
from keras import layers

inputs = keras.Input((8, 8, 1))
hidden = layers.Conv2D(8, 3, activation="relu")(inputs)
hidden = layers.MaxPooling2D()(hidden)
hidden = layers.Flatten()(hidden)
outputs = layers.Dense(10, activation="softmax")(hidden)
classifier = keras.Model(inputs, outputs, name="digits")
