import keras
import numpy as np
from keras import layers

keras.utils.set_random_seed(40)
rates = np.random.default_rng()

steps = np.arange(20)
x = np.stack([np.sin(steps * f) for f in np.linspace(0.1, 1.5, 300)])[..., None].astype("float32")
y = np.linspace(0.1, 1.5, 300).astype("float32")

model = keras.Sequential(
    [layers.Input((20, 1)), layers.Conv1D(8, 3, activation="relu"), layers.LSTM(8), layers.Dense(1)]
)
model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
wild = keras.callbacks.LambdaCallback(
    on_epoch_begin=lambda epoch, logs: model.optimizer.learning_rate.assign(rates.uniform(1e-4, 1e-2))
)
model.fit(x, y, epochs=3, batch_size=30, callbacks=[wild], verbose=0)
