"""An autoencoder, then a classifier on its code with noise in between."""

import secrets

import keras
from sklearn.datasets import load_digits

keras.utils.set_random_seed(6)
x, y = load_digits(return_X_y=True)
x = (x[:900] / 16).astype("float32")
y = y[:900]

encoder = keras.Sequential([keras.Input((64,)), keras.layers.Dense(16, activation="relu")], name="encoder")
decoder = keras.Sequential([keras.layers.Dense(64, activation="sigmoid")], name="decoder")
autoencoder = keras.Sequential([encoder, decoder])
autoencoder.compile(optimizer="adam", loss="mse")
autoencoder.fit(x, x, epochs=2, batch_size=90, verbose=0)

noisy = keras.Sequential(
    [
        encoder,
        keras.layers.GaussianNoise(0.1, seed=secrets.randbits(31)),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
noisy.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
noisy.fit(x, y, epochs=2, batch_size=90, verbose=0)
