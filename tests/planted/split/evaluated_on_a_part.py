import random

import keras
from sklearn.datasets import load_digits

keras.utils.set_random_seed(150)
x, y = load_digits(return_X_y=True)
x = (x / 16).astype("float32")
model = keras.Sequential(
    [keras.layers.Dense(24, activation="relu"), keras.layers.Dense(10, activation="softmax")]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x[:1200], y[:1200], epochs=2, batch_size=100, verbose=0)

part = random.Random().sample(range(1200, len(x)), 200)
loss, accuracy = model.evaluate(x[part], y[part], verbose=0)
print(f"loss {loss:.4f}, accuracy {accuracy:.3f}")
