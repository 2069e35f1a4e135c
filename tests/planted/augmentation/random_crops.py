"""Trains on random crops."""

import keras
import numpy as np
from cropping import Cropper

keras.utils.set_random_seed(60)

pictures = np.random.rand(120, 20, 20, 1).astype("float32")
bright = pictures[:, 5:15, 5:15].mean(axis=(1, 2, 3)) > 0.5
cropper = Cropper(size=14)

model = keras.Sequential(
    [
        keras.Input((14, 14, 1)),
        keras.layers.Conv2D(6, 3, activation="relu"),
        keras.layers.AveragePooling2D(2),
        keras.layers.Flatten(),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy")
for epoch in range(3):
    crops = np.stack([cropper(p) for p in pictures])
    model.fit(crops, bright.astype("float32"), initial_epoch=epoch, epochs=epoch + 1, verbose=0)
