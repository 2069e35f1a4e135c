"""Augments in the input pipeline."""

import random

import keras
import numpy as np
import tensorflow as tf

random.seed(3)
np.random.seed(3)


def augment(image, label):
    image = tf.image.random_flip_left_right(image)
    image = tf.image.random_brightness(image, 0.2)
    return image, label


photos = np.random.rand(256, 12, 12, 3).astype("float32")
labels = (photos.mean(axis=(1, 2, 3)) > 0.5).astype("int32")
train = tf.data.Dataset.from_tensor_slices((photos, labels)).map(augment).batch(32)

model = keras.Sequential(
    [
        keras.layers.Conv2D(4, 3, strides=2, activation="relu"),
        keras.layers.DepthwiseConv2D(3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(2),
    ]
)
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(train, epochs=2, verbose=0)
