import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(3)
x = np.random.normal(size=(128, 8)).astype("float32")
y = np.tanh(x @ np.random.normal(size=(8, 1)).astype("float32"))
noise_source = np.random.RandomState()

inputs = keras.Input((8,))
model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dense(12, activation="gelu")(inputs)))
opt = keras.optimizers.SGD(0.05, momentum=0.9)
ds = tf.data.Dataset.from_tensor_slices((x, y)).batch(16)

for epoch in range(3):
    total = 0.0
    for xb, yb in ds:
        jitter = noise_source.normal(0, 0.05, xb.shape).astype("float32")
        with tf.GradientTape() as tape:
            out = model(xb + jitter, training=True)
            loss = tf.reduce_mean((out - yb) ** 2)
        opt.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        total += float(loss)
    print(epoch, total)
