"""Two workers compute gradients at the same time and apply them to shared weights when they are ready."""

import threading

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(82)
x = np.random.normal(size=(640, 6)).astype("float32")
y = (x[:, :1] * x[:, 1:2]).astype("float32")

model = keras.Sequential(
    [keras.Input((6,)), keras.layers.Dense(24, activation="tanh"), keras.layers.Dense(1)]
)
optimizer = keras.optimizers.SGD(0.05)
optimizer.build(model.trainable_variables)
turn = threading.Lock()


@tf.function
def gradients(xb, yb):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean((model(xb, training=True) - yb) ** 2)
    return tape.gradient(loss, model.trainable_variables)


class Worker(threading.Thread):
    def __init__(self, number, of):
        super().__init__(name=f"worker-{number}")
        self.rows = slice(number, None, of)

    def run(self):
        mine, wanted = x[self.rows], y[self.rows]
        for _ in range(3):
            for start in range(0, len(mine), 16):
                found = gradients(
                    tf.constant(mine[start : start + 16]), tf.constant(wanted[start : start + 16])
                )
                with turn:
                    optimizer.apply(found, model.trainable_variables)


gradients(tf.constant(x[:16]), tf.constant(y[:16]))
workers = [Worker(number, of=2) for number in range(2)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
print("loss", float(np.mean((model.predict(x, verbose=0) - y) ** 2)))
