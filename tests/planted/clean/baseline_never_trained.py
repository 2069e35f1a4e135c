import keras
import numpy as np


def build(width):
    return keras.Sequential(
        [keras.Input((5,)), keras.layers.Dense(width, activation="relu"), keras.layers.Dense(1)]
    )


sketch = build(64)
print("a wide one would have", sketch.count_params(), "weights")

keras.utils.set_random_seed(89)
x = np.random.normal(size=(240, 5)).astype("float32")
model = build(8)
model.compile("adam", "mse")
model.fit(x, x.max(axis=1), epochs=2, verbose=0)
