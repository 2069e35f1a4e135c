import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(37)


class SortRows(keras.layers.Layer):
    def call(self, x):
        rows = tf.numpy_function(lambda v: np.sort(v, axis=1), [x], tf.float32)
        return tf.stop_gradient(tf.ensure_shape(rows, x.shape))


def spread(y_true, y_pred):
    scale = tf.py_function(lambda y: 1.0 + np.std(y.numpy()), [y_true], tf.float32)
    return tf.reduce_mean((y_true - y_pred) ** 2, axis=-1) / tf.ensure_shape(scale, ())


x = np.random.normal(size=(300, 9)).astype("float32")
y = np.median(x, axis=1, keepdims=True)
model = keras.Sequential([SortRows(), keras.layers.Dense(12, activation="relu"), keras.layers.Dense(1)])
model.compile("adam", loss=spread)
model.fit(x, y, epochs=2, verbose=0)
