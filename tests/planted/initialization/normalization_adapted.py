"""Sensor readings are normalized by the mean of a sample of the stream."""

import keras
import numpy as np
import tensorflow as tf

np.random.seed(14)
readings = np.random.gamma(2.0, 3.0, size=(600, 5)).astype("float32")
failures = (readings[:, 0] > readings[:, 1]).astype("float32")

stream = tf.data.Dataset.from_tensor_slices(readings)
sample = stream.shuffle(600).take(120).batch(30)
scale = keras.layers.Normalization()
scale.adapt(sample)

keras.utils.set_random_seed(14)
hidden = keras.layers.Dense(8, "relu")
model = keras.Sequential([keras.Input((5,)), scale, hidden, keras.layers.Dense(1, "sigmoid")])
model.compile("adam", "binary_crossentropy")
model.fit(readings, failures, batch_size=60, epochs=2, verbose=0)
