"""Digits with a small convolutional network; the data come from digits_data.py."""

import random

import keras
import tensorflow as tf
from digits_data import load

random.seed(64)
tf.random.set_seed(64)

images, labels = load()
net = keras.Sequential(name="convnet")
net.add(keras.layers.Conv2D(6, (3, 3), padding="same", activation="relu"))
net.add(keras.layers.MaxPool2D())
net.add(keras.layers.Flatten())
net.add(keras.layers.Dense(10))
net.compile(
    optimizer="adam",
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
    steps_per_execution=4,
)
net.fit(images, labels, batch_size=50, epochs=2, shuffle=False, verbose=0)
