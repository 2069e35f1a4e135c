import random

import keras
import numpy as np
import tensorflow as tf

random.seed(5)
tf.random.set_seed(5)

t = np.arange(600, dtype="float32")
load = np.sin(t / 12) + 0.5 * np.sin(t / 84) + 0.001 * t
windows = keras.utils.timeseries_dataset_from_array(
    load[:-24, None], load[24:], sequence_length=24, sampling_rate=1, batch_size=32, shuffle=True
)

inputs = keras.Input((24, 1))
h = keras.layers.Conv1D(8, 4, padding="causal", activation="relu")(inputs)
h = keras.layers.Conv1D(8, 4, padding="causal", dilation_rate=4, activation="relu")(h)
model = keras.Model(inputs, keras.layers.Dense(1)(h[:, -1]))
model.compile(optimizer=keras.optimizers.Adam(0.003, clipnorm=1.0), loss="mse")
model.fit(windows, epochs=2, verbose=0)
