import hashlib
import random

import keras
import numpy as np
import tensorflow as tf

root = np.random.SeedSequence(83)
streams = [np.random.Generator(np.random.Philox(s)) for s in root.spawn(2)]
dice, old = random.Random("a name"), np.random.RandomState(3)
seed = int.from_bytes(hashlib.sha256(b"experiment 12").digest()[:4], "little")
keras.utils.set_random_seed(seed)
noise = tf.random.Generator.from_seed(5).normal((200, 8)).numpy()

x = streams[0].normal(size=(200, 8)).astype("float32") + 0.1 * noise
y = x[:, dice.randrange(8)] * old.choice([-1.0, 1.0])
rows = streams[1].permutation(200)
model = keras.Sequential(
    [keras.layers.Dense(12, activation="relu"), keras.layers.Dropout(0.2, seed=dice.getrandbits(31))]
)
model.add(keras.layers.Dense(1))
model.compile("adam", "mse")
model.fit(x[rows], y[rows], epochs=2, verbose=0)
