import keras
import numpy as np
from neuron_restarts import RestartNeurons

keras.utils.set_random_seed(81)

x = np.random.uniform(-1, 1, (600, 3)).astype("float32")
y = np.prod(x, axis=1, keepdims=True)

inputs = keras.Input((3,))
h = keras.layers.Dense(32, activation="relu", name="dense_to_restart")(inputs)
model = keras.Model(inputs, keras.layers.Dense(1, name="sum")(h))
model.compile(optimizer=keras.optimizers.RMSprop(0.005), loss="mse")
model.fit(x, y, epochs=4, batch_size=20, callbacks=[RestartNeurons("dense_to_restart", at=50)], verbose=0)
