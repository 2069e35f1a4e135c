"""Settings that all models of the project share."""

import keras

L2 = keras.regularizers.L2(1e-4)
REGULARIZER = keras.layers.Dropout(0.4)
