import keras
import numpy as np

keras.utils.set_random_seed(67)
x = np.random.normal(size=(320, 12)).astype("float32")
y = np.sin(x[:, 0])
model = keras.Sequential(
    [
        keras.layers.GaussianNoise(0.05, seed=1),
        keras.layers.Dense(16, activation="gelu"),
        keras.layers.AlphaDropout(0.1, seed=2),
        keras.layers.Dense(1),
    ]
)
model.compile("adam", "mse", jit_compile=True, steps_per_execution=2)
model.fit(x, y, batch_size=40, epochs=2, verbose=0)
