import keras
import numpy as np
import tensorflow as tf

keras.utils.set_random_seed(26)


class Flicker(keras.layers.Layer):
    """Brightness that changes as that of a lamp does."""

    def call(self, frames, training=None):
        if training:
            phase = tf.cast(tf.timestamp() % 1.0, "float32")
            frames = frames * (1.0 + 0.1 * tf.sin(2 * np.pi * phase))
        return frames


frames = np.random.rand(160, 6, 8, 8, 1).astype("float32")
moving = np.random.randint(0, 2, 160)
inputs = keras.Input((6, 8, 8, 1))
h = Flicker()(inputs)
h = keras.layers.ConvLSTM2D(3, 3)(h)
h = keras.layers.GlobalAveragePooling2D()(h)
model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(h))
model.compile(optimizer="adam", loss="binary_crossentropy")
model.fit(frames, moving, batch_size=32, epochs=2, verbose=0)
