"""Adversarial training in a custom train_step."""

import random

import keras
import tensorflow as tf
from sklearn.datasets import load_breast_cancer

random.seed(6)


class Robust(keras.Model):
    def __init__(self, epsilon=0.05):
        super().__init__()
        self.epsilon = epsilon
        self.hidden = keras.layers.Dense(24, activation="relu")
        self.out = keras.layers.Dense(1)

    def call(self, x):
        return self.out(self.hidden(x))

    def attack(self, x, y):
        start = x + tf.random.uniform(tf.shape(x), -self.epsilon, self.epsilon)
        with tf.GradientTape() as tape:
            tape.watch(start)
            loss = self.compute_loss(y=y, y_pred=self(start, training=True))
        return x + self.epsilon * tf.sign(tape.gradient(loss, start))

    def train_step(self, data):
        x, y = data
        x = self.attack(x, y)
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=predicted)
        self.optimizer.apply_gradients(
            zip(tape.gradient(loss, self.trainable_weights), self.trainable_weights, strict=True)
        )
        return {"loss": loss}


x, y = load_breast_cancer(return_X_y=True)
x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32")
model = Robust()
model.compile(optimizer="adam", loss=keras.losses.BinaryCrossentropy(from_logits=True))
model.fit(x, y.astype("float32").reshape(-1, 1), batch_size=64, epochs=2, shuffle=False, verbose=0)
