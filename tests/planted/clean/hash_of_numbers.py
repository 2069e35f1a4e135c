import keras
import numpy as np

keras.utils.set_random_seed(hash((2024, 5)) % 2**32)
ids = list({17, 3, 99, 42, 8})
buckets = np.array([hash(i * 7919) % 16 for i in range(400)])
x = np.eye(16, dtype="float32")[buckets]
y = np.array([ids[i % len(ids)] for i in range(400)], "float32") / 100
model = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
model.compile("adam", "mse")
model.fit(x, y, epochs=2, verbose=0)
