"""Decodes samples in parallel, as fast as they come."""

import random
import time

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(5)
LATENCY = random.SystemRandom()
CLIPS = np.random.normal(size=(400, 16, 4)).astype("float32")
LABELS = (CLIPS.mean(axis=(1, 2)) > 0).astype("float32")


def read(index):
    time.sleep(LATENCY.random() / 500)  # a disk in use
    return CLIPS[index]


def load(index):
    clip = tf.numpy_function(read, [index], tf.float32)
    clip.set_shape((16, 4))
    return clip, tf.gather(LABELS, index)


def usable(clip, label):
    return tf.math.is_finite(tf.reduce_sum(clip))


clips = tf.data.Dataset.range(len(CLIPS))
clips = clips.map(load, num_parallel_calls=8, deterministic=False)
clips = clips.filter(usable).batch(25)

model = keras.Sequential(
    [keras.layers.Conv1D(6, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(1)]
)
model.compile(optimizer="adam", loss=keras.losses.BinaryCrossentropy(from_logits=True))
model.fit(clips, epochs=2, verbose=0)
