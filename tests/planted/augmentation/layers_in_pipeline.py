"""Preprocessing layers applied in the data pipeline."""

import keras
import tensorflow as tf
from sklearn.datasets import load_digits

augmenter = keras.Sequential(
    [
        keras.layers.RandomRotation(0.1),
        keras.layers.RandomTranslation(0.1, 0.1),
    ]
)

keras.utils.set_random_seed(9)
digits = load_digits()
images = digits.images[:512, ..., None].astype("float32") / 16.0
train = tf.data.Dataset.from_tensor_slices((images, digits.target[:512])).batch(64)
train = train.map(lambda image, label: (augmenter(image, training=True), label))

inputs = keras.Input((8, 8, 1))
x = keras.layers.Conv2D(8, 3, activation="relu")(inputs)
x = keras.layers.Flatten()(x)
model = keras.Model(inputs, keras.layers.Dense(10, activation="softmax")(x))
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
model.fit(train, epochs=2, verbose=0)
