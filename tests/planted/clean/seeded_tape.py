import time

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(6)
x = np.random.normal(size=(64, 4)).astype("float32")
layers = [keras.layers.Dense(8, activation="relu"), keras.layers.Dropout(0.2, seed=1), keras.layers.Dense(1)]
model = keras.Sequential(layers)
opt = keras.optimizers.Adam(0.01)
rng = np.random.default_rng(3)
began = time.time()
for _ in range(10):
    i = rng.permutation(64)[:16]
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(x[i], training=True)[:, 0] - x[i, 0]) ** 2)
    opt.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
print(model.predict(x[:2], verbose=0), time.time() - began)
