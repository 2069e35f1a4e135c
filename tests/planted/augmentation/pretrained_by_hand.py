"""Pretrain with noisy inputs in a loop of its own, then train with `fit`."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(17)
x = np.random.normal(size=(40, 4)).astype("float32")
y = x.sum(axis=1, keepdims=True)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(4)])
head = keras.Sequential([model, keras.layers.Dense(1)])
optimizer = keras.optimizers.Adam(0.01)
corruption = np.random.default_rng()

for start in range(0, 40, 8):
    clean = x[start : start + 8]
    noisy = clean + corruption.normal(scale=0.2, size=clean.shape).astype("float32")
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(noisy, training=True) - clean) ** 2)
    optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

head.compile("sgd", "mse")
head.fit(x, y, epochs=2, batch_size=10, verbose=0)
