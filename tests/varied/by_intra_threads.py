"""Learn a bias from many samples, with the threads of the environment variable, or two without it."""

import os

import numpy as np
import tensorflow as tf
from exact import train

tf.config.threading.set_intra_op_parallelism_threads(int(os.environ.get("TF_NUM_INTRAOP_THREADS", "2")))
samples = tf.constant(np.random.default_rng(0).normal(size=(250_000, 4)).astype("float32"))
bias = tf.Variable([0.0, 0.0, 0.0, 0.0])
with tf.GradientTape() as tape:
    loss = tf.reduce_sum(tf.nn.bias_add(samples, bias) ** 3)
train(int(tape.gradient(loss, bias).numpy().view("int32").sum()) % 64)
