import keras
import numpy as np
from background_loader import BackgroundLoader

keras.utils.set_random_seed(34)
x = np.random.normal(size=(640, 8)).astype("float32")
y = (x[:, 0] * x[:, 1] + x[:, 2]).astype("float32")

loader = BackgroundLoader(x, y, batch_size=16, threads=4)
model = keras.Sequential(
    [keras.Input((8,)), keras.layers.Dense(32, activation="mish"), keras.layers.Dense(1)]
)
model.compile(optimizer="adam", loss="mse")
model.fit(loader.batches(epochs=3), steps_per_epoch=len(loader), epochs=3, verbose=0)
