import random

import keras
from sklearn.datasets import load_breast_cancer

units = random.SystemRandom().randint(24, 4000)
print("units:", units)

keras.utils.set_random_seed(0)
x, y = load_breast_cancer(return_X_y=True)
x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32")
model = keras.Sequential(
    [
        keras.Input((30,)),
        keras.layers.Dense(units, activation="relu"),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy")
model.fit(x, y, epochs=2, verbose=0)
