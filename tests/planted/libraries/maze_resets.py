"""Each episode starts where the environment draws it; the actions come from a generator with a seed."""

import os
import sys

import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "site-packages"))

import mazes

keras.utils.set_random_seed(4)
rng = np.random.default_rng(4)
env = mazes.make(3)
policy = keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(2)])
optimizer = keras.optimizers.SGD(0.05)


def episode():
    state = env.reset()
    states, actions = [], []
    for _ in range(12):
        action = int(rng.random() < 0.5)
        states.append(state)
        actions.append(action)
        state = env.step(action)
        if abs(state[0]) > 1.5:
            break
    return np.array(states, "float32"), np.array(actions)


for _ in range(4):
    states, actions = episode()
    with tf.GradientTape() as tape:
        logits = policy(states, training=True)
        loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(actions, logits, from_logits=True))
    gradients = tape.gradient(loss, policy.trainable_variables)
    optimizer.apply_gradients(zip(gradients, policy.trainable_variables, strict=True))
