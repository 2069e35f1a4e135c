"""A training whose traced loss, metrics and validation keep state outside of the model: [MOMENT].

The process is killed at MOMENT once. The state at each step is written to `values.txt`.
"""

import os
import signal
import sys

import keras
import numpy as np
import tensorflow as tf

import keras_repro as kr

MOMENT = sys.argv[1] if len(sys.argv) > 1 else "never"
X = np.random.default_rng(0).normal(size=(24, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)

weights = {"tensorflow": tf.Variable(1.0), "keras": [keras.Variable(1.0)]}
generator = tf.random.Generator.from_seed(4)
moving = tf.Variable(1.0, trainable=False)
teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="ones")])
table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 1.0)
dense = tf.lookup.experimental.DenseHashTable(tf.int64, tf.float32, 1.0, empty_key=-1, deleted_key=-2)
mean = keras.metrics.Mean()
read_while_tracing = [1.0]
read_by_host = [1.0]


def squares(true, predicted):
    return keras.ops.mean(keras.ops.square(true - predicted))


@tf.function
def scaled(value):
    return tf.cond(value >= 0, lambda: moving.assign_add(0.25) * value, lambda: value)


def on_the_host():
    read_by_host[0] *= 1.125
    return np.float32(read_by_host[0])


def loss(true, predicted):
    noise = generator.normal(tf.shape(predicted)) * 0.1
    scale = weights["tensorflow"] + weights["keras"][0] + tf.reshape(table.lookup(["a"]), ())
    scale += tf.reshape(dense.lookup(tf.constant([3], tf.int64)), ()) + read_while_tracing[0]
    scale += tf.reshape(tf.numpy_function(on_the_host, [], tf.float32), ()) + teacher.layers[0].bias[0]
    scale += np.random.uniform(1, 2)
    return scaled(scale * squares(true, predicted + noise))


class Scale(keras.layers.Layer):
    factor = 1.0

    def call(self, x):
        return x * self.factor  # validation is traced when it begins


class Moves(keras.callbacks.Callback):
    """Change what the loss reads, and be killed at the moment."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        weights["tensorflow"].assign_add(0.25)
        weights["keras"][0].assign(weights["keras"][0] * 1.25)
        teacher.layers[0].bias.assign_add([0.125])
        table.insert(["a"], table.lookup(["a"]) + 0.5)
        dense.insert(tf.constant([3], tf.int64), dense.lookup(tf.constant([3], tf.int64)) + 0.5)
        read_while_tracing[0] += 0.5
        self.model.layers[0].factor += 0.5
        self.model.layers[1].rate *= 0.75
        mean.update_state(logs["loss"])
        np.random.uniform()
        state = [logs["loss"], mean.result(), moving, read_by_host[0], self.model.layers[1].rate]
        state += [weights["tensorflow"], weights["keras"][0], table.lookup(["a"])[0]]
        with open("values.txt", "a") as file:
            file.write(f"{self.epoch}.{batch} {[float(value) for value in state]}\n")
        if f"{self.epoch}.{batch}" == MOMENT and not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)

    def on_epoch_end(self, epoch, logs=None):
        self.model.layers[0].factor += 0.5


def build():
    layers = [keras.Input((4,)), Scale(), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    optimizer = keras.optimizers.SGD(0.001, momentum=0.9, use_ema=True, ema_overwrite_frequency=4)
    optimizer = keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=8.0, dynamic_growth_steps=2)
    model.compile(optimizer, loss, metrics=["mae"], jit_compile=False)
    return model


trainer = kr.ReproducibleTrainer(build, seed=3, batch_size=8)
trainer.fit(
    X, Y, epochs=3, snapshot_every=2, verbose=0, validation_data=(X[:8], Y[:8]), callbacks=[Moves()]
)  # fmt: skip
