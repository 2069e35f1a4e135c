import keras
import numpy as np
import tensorflow as tf

np.random.seed(0)
x = np.random.normal(size=(96, 4)).astype("float32")
hidden = keras.layers.Dense(8, "relu", kernel_initializer=keras.initializers.HeNormal(1))
head = keras.layers.Dense(1, kernel_initializer=keras.initializers.HeNormal(2))
model = keras.Sequential([keras.Input((4,)), hidden, head])
optimizer = keras.optimizers.Adam(0.01)
loss_fn = keras.losses.Huber()
data = tf.data.Dataset.from_tensor_slices((x, x[:, :1])).shuffle(96).batch(12)


@tf.function
def train(dataset):
    for xb, yb in dataset:
        with tf.GradientTape() as tape:
            loss = loss_fn(yb, model(xb, training=True))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)


for _ in range(2):
    train(data)
