"""The vocabulary comes from a part of the reviews."""

import keras
import numpy as np
import tensorflow as tf

WORDS = [f"word{number}" for number in range(60)]
keras.utils.set_random_seed(51)
reviews = np.array([" ".join(np.random.choice(WORDS, 6)) for _ in range(200)])
stars = np.random.uniform(size=200).astype("float32")

tf.random.set_seed(None)
part = tf.data.Dataset.from_tensor_slices(reviews).shuffle(200).take(40)
words = keras.layers.TextVectorization(max_tokens=30, output_mode="multi_hot")
words.adapt(part)

x = np.array(words(reviews))
model = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Dense(6, "relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, stars, batch_size=40, epochs=2, verbose=0)
