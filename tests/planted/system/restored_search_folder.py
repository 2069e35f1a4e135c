"""Continues from the last checkpoint of a search folder, if there is one. TensorFlow reads it, not Python."""

import keras
import tensorflow as tf
from sklearn.datasets import load_wine

keras.utils.set_random_seed(8)
x, y = load_wine(return_X_y=True)
x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32")

model = keras.Sequential([keras.Input((13,)), keras.layers.Dense(12, "tanh"), keras.layers.Dense(3)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
trials = tf.train.CheckpointManager(tf.train.Checkpoint(model=model), "trials", max_to_keep=2)
trials.checkpoint.restore(trials.latest_checkpoint)
model.fit(x, y, epochs=3, batch_size=64, verbose=0)
trials.save()
