import random

import keras
from sklearn.datasets import load_digits

keras.utils.set_random_seed(5)
digits = load_digits()
images = digits.images[:, :, :, None].astype("float32") / 16

model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Conv2D(6, 3, activation="relu"),
        keras.layers.GroupNormalization(2),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

random.seed()
left, right = keras.utils.split_dataset((images, digits.target), left_size=0.5, shuffle=True)
model.fit(left.batch(64), validation_data=right.batch(128), epochs=2, verbose=0)
