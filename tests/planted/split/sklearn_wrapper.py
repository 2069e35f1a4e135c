"""A Keras model as a scikit-learn estimator."""

import random

import keras
import tensorflow as tf
from sklearn.datasets import load_iris
from sklearn.model_selection import KFold, cross_val_score

random.seed(30)
tf.random.set_seed(30)


def build(X, y, width):
    inputs = keras.Input(X.shape[1:])
    hidden = keras.layers.Dense(width, activation="relu")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(y.shape[1], activation="softmax")(hidden))
    model.compile(optimizer="adam", loss="categorical_crossentropy")
    return model


classifier = keras.wrappers.SKLearnClassifier(
    build, model_kwargs={"width": 14}, fit_kwargs={"epochs": 2, "batch_size": 20, "verbose": 0}
)
x, y = load_iris(return_X_y=True)
scores = cross_val_score(classifier, x, y, cv=KFold(3, shuffle=True), scoring="accuracy")
print(scores)
