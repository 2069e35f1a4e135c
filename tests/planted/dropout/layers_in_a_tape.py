import keras
import numpy as np
import tensorflow as tf

np.random.seed(0)
x = np.random.normal(size=(64, 5)).astype("float32")
first = keras.layers.Dense(8, "relu", kernel_initializer=keras.initializers.GlorotUniform(1))
drop = keras.layers.Dropout(0.4)
last = keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(2))
optimizer = keras.optimizers.SGD(0.05)


@tf.function
def step(batch):
    with tf.GradientTape() as tape:
        out = last(drop(first(batch), training=True))
        loss = tf.reduce_mean((out - batch[:, :1]) ** 2)
    weights = first.trainable_weights + last.trainable_weights
    optimizer.apply(tape.gradient(loss, weights), weights)


for start in range(0, 64, 16):
    step(tf.constant(x[start : start + 16]))
