"""keras.utils.timeseries_dataset_from_array, shuffled without a seed."""

import keras
import numpy as np

series = np.sin(np.arange(300) / 7).astype("float32")
inputs, targets = series[:-10, None], series[10:]
train = keras.utils.timeseries_dataset_from_array(
    inputs, targets, sequence_length=10, batch_size=16, shuffle=True
)
model = keras.Sequential(
    [
        keras.Input((10, 1)),
        keras.layers.SimpleRNN(
            6,
            kernel_initializer=keras.initializers.GlorotUniform(1),
            recurrent_initializer=keras.initializers.Orthogonal(seed=2),
        ),
        keras.layers.Dense(1, kernel_initializer=keras.initializers.GlorotUniform(3)),
    ]
)
model.compile("adam", "mse")
model.fit(train, epochs=2, verbose=0)
