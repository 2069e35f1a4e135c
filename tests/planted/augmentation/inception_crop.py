"""The crop of the Inception paper in a tf.data pipeline. Everything has been seeded."""

import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(90)
SIZE = 12


def whole_image():
    return tf.constant([[[0.0, 0.0, 1.0, 1.0]]])


def inception_crop(image, label):
    begin, size, _ = tf.image.sample_distorted_bounding_box(
        tf.shape(image), whole_image(), area_range=(0.3, 1.0), min_object_covered=0.1
    )
    crop = tf.slice(image, begin, size)
    crop = tf.image.resize(crop, (SIZE, SIZE))
    crop.set_shape((SIZE, SIZE, 3))
    return crop, label


images = np.random.rand(160, 16, 16, 3).astype("float32")
labels = (images[..., 0].mean(axis=(1, 2)) > images[..., 1].mean(axis=(1, 2))).astype("int32")
train = (
    tf.data.Dataset.from_tensor_slices((images, labels))
    .map(inception_crop, num_parallel_calls=tf.data.AUTOTUNE)
    .batch(32, drop_remainder=True)
    .prefetch(1)
)
model = keras.Sequential(
    [
        keras.Input((SIZE, SIZE, 3)),
        keras.layers.SeparableConv2D(8, 3, activation="relu"),
        keras.layers.MaxPooling2D(),
        keras.layers.Flatten(),
        keras.layers.Dense(2),
    ]
)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(train, epochs=2, verbose=0)
