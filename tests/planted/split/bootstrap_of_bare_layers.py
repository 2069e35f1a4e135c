"""No keras.Model at all: layers in a list, a tape, an optimizer."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(11)
x = np.random.normal(size=(200, 5)).astype("float32")
y = (x[:, :1] * x[:, 1:2]).astype("float32")
layers = [keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(1)]
optimizer = keras.optimizers.Adam(0.01)
rng = np.random.default_rng()


def forward(value):
    for layer in layers:
        value = layer(value)
    return value


for _step in range(40):
    batch = rng.choice(len(x), 32, replace=False)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((forward(x[batch]) - y[batch]) ** 2)
    weights = [w for layer in layers for w in layer.trainable_weights]
    optimizer.apply(tape.gradient(loss, weights), weights)
print("loss", float(loss))
