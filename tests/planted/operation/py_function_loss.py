"""A loss with randomly softened labels."""

import random

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_iris

keras.utils.set_random_seed(77)
DICE = random.SystemRandom()


def perturb(labels):
    labels = labels.numpy()
    amount = np.array([[DICE.uniform(0.0, 0.1)] for _ in labels], "float32")
    return labels * (1 - amount) + amount / labels.shape[1]


def softened_crossentropy(y_true, y_pred):
    smooth = tf.py_function(perturb, [y_true], tf.float32)
    smooth.set_shape(y_true.shape)
    return keras.losses.categorical_crossentropy(smooth, y_pred)


x, y = load_iris(return_X_y=True)
inputs = keras.Input((4,))
hidden = keras.layers.Dense(12, activation="relu")(inputs)
model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(hidden))
model.compile(optimizer="adam", loss=softened_crossentropy)
model.fit(x.astype("float32"), np.eye(3, dtype="float32")[y], epochs=3, batch_size=25, verbose=0)
