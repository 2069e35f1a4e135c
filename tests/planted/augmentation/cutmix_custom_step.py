"""CutMix inside a custom train_step."""

import uuid

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(28)


class CutMixed(keras.Model):
    def __init__(self, network):
        super().__init__()
        self.network = network
        self.cutmix = keras.layers.CutMix(factor=0.8, seed=uuid.uuid4().int % 2**31)

    def call(self, x, training=None):
        return self.network(x, training=training)

    def train_step(self, data):
        images, labels = data
        mixed = self.cutmix({"images": images, "labels": labels}, training=True)
        with tf.GradientTape() as tape:
            predicted = self(mixed["images"], training=True)
            loss = self.compute_loss(y=mixed["labels"], y_pred=predicted)
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}


images = np.random.rand(192, 10, 10, 3).astype("float32")
labels = np.eye(4, dtype="float32")[np.random.randint(0, 4, 192)]
network = keras.Sequential(
    [
        keras.layers.Conv2D(6, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(4, activation="softmax"),
    ]
)
model = CutMixed(network)
model.compile(optimizer="adam", loss="categorical_crossentropy")
model.fit(images, labels, batch_size=32, epochs=2, verbose=0)
