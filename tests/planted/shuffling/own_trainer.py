"""A trainer class with its own loop: keras model, GradientTape, permutation by NumPy."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(0)


class Trainer:
    def __init__(self, model, optimizer, loss_fn, seed=None):
        self.model = model
        self.optimizer = optimizer
        self.loss_fn = loss_fn
        self.rng = np.random.default_rng(seed)
        self.history = []

    @tf.function
    def train_step(self, x, y):
        with tf.GradientTape() as tape:
            pred = self.model(x, training=True)
            loss = self.loss_fn(y, pred)
        grads = tape.gradient(loss, self.model.trainable_variables)
        self.optimizer.apply_gradients(zip(grads, self.model.trainable_variables, strict=False))
        return loss

    def fit(self, x, y, epochs, batch_size):
        for _epoch in range(epochs):
            idx = self.rng.permutation(len(x))
            losses = []
            for start in range(0, len(x), batch_size):
                sel = idx[start : start + batch_size]
                losses.append(float(self.train_step(tf.constant(x[sel]), tf.constant(y[sel]))))
            self.history.append(np.mean(losses))


x = np.random.normal(size=(256, 6)).astype("float32")
y = x[:, :1] * 2 - x[:, 1:2]
model = keras.Sequential(
    [keras.Input((6,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)]
)
trainer = Trainer(model, keras.optimizers.Adam(1e-2), keras.losses.MeanSquaredError())
trainer.fit(x, y, epochs=3, batch_size=32)
print(model.predict(x[:4], verbose=0).ravel())
