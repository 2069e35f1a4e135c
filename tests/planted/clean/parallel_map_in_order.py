import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(23)
x = np.random.rand(240, 8, 8, 1).astype("float32")
y = (x.mean(axis=(1, 2, 3)) > 0.5).astype("int32")


def augment(index, pair):
    image, label = pair
    image = tf.image.stateless_random_flip_left_right(image, (7, index))
    return image + tf.random.stateless_normal((8, 8, 1), (index, 3)) * 0.02, label


pairs = tf.data.Dataset.from_tensor_slices((x, y)).cache().shuffle(240)
train = pairs.enumerate().map(augment, num_parallel_calls=tf.data.AUTOTUNE).batch(24).prefetch(2)
model = keras.Sequential([keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(2)])
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(train, epochs=2, verbose=0)
