"""State in a module that `hidden_exact.py` imports where it uses it."""

import random

import tensorflow as tf

scale = 1.0
variables = {"scale": tf.Variable(1.0)}
generator = random.Random(8)
