import keras
import numpy as np
from sklearn.datasets import load_digits


def sample_rate():
    rng = np.random.default_rng()
    return float(10 ** rng.uniform(-4, -2))


def build():
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.SeparableConv2D(12, 3, activation="relu")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))
    model.compile(optimizer=keras.optimizers.Adam(sample_rate()), loss="sparse_categorical_crossentropy")
    return model


keras.utils.set_random_seed(1)
digits = load_digits()
build().fit(digits.images[:600, ..., None] / 16.0, digits.target[:600], epochs=2, batch_size=60, verbose=0)
