"""A lookup table is adapted to an unseeded shuffle; counts do not depend on the order."""

import keras
import numpy as np
import tensorflow as tf

TOKENS = [
    name for count, name in enumerate(["red", "green", "blue", "white", "black"], 1) for _ in range(7 * count)
]

words = tf.data.Dataset.from_tensor_slices(np.array(TOKENS)).shuffle(1000).batch(8)
lookup = keras.layers.StringLookup(output_mode="one_hot")
lookup.adapt(words)
print(lookup.get_vocabulary())

np.random.default_rng().shuffle(TOKENS)
TOKENS.sort()
x = np.array(lookup(np.array(TOKENS)[:, None]))

keras.utils.set_random_seed(28)
model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, np.linspace(0, 1, len(x)), batch_size=15, epochs=2, verbose=0)
