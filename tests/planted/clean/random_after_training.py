import random

import keras
import numpy as np
from sklearn.datasets import load_digits

keras.utils.set_random_seed(13)
x, y = load_digits(return_X_y=True)
model = keras.Sequential(
    [keras.layers.Dense(16, activation="relu"), keras.layers.Dense(10, activation="softmax")]
)
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(x / 16, y, epochs=2, batch_size=100, verbose=0)
predicted = model.predict(x / 16, verbose=0).argmax(axis=1)
for i in np.random.default_rng().choice(len(x), 5):
    print(i, predicted[i], y[i])
print(random.SystemRandom().choice(["well done", "not bad", "fine"]))
