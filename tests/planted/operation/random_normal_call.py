"""A variational autoencoder of digits."""

import random

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

random.seed(20)
np.random.seed(20)


class Sampling(keras.layers.Layer):
    def call(self, inputs):
        mean, log_variance = inputs
        return mean + tf.exp(0.5 * log_variance) * tf.random.normal(tf.shape(mean))


class VAE(keras.Model):
    def __init__(self, latent=4):
        super().__init__()
        self.encode = keras.layers.Dense(32, activation="relu")
        self.mean = keras.layers.Dense(latent)
        self.log_variance = keras.layers.Dense(latent)
        self.sample = Sampling()
        self.decode = keras.Sequential(
            [keras.layers.Dense(32, activation="relu"), keras.layers.Dense(64, activation="sigmoid")]
        )

    def call(self, x):
        h = self.encode(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        kl = -0.5 * keras.ops.mean(1 + log_variance - mean**2 - keras.ops.exp(log_variance))
        self.add_loss(0.01 * kl)
        return self.decode(self.sample([mean, log_variance]))


x = (load_digits().data[:640] / 16).astype("float32")
vae = VAE()
vae.compile(optimizer="adam", loss="binary_crossentropy")
vae.fit(x, x, batch_size=64, epochs=2, shuffle=False, verbose=0)
