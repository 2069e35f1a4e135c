import time

import keras
from sklearn.datasets import load_diabetes

keras.utils.set_random_seed(90)
x, y = load_diabetes(return_X_y=True)
y = (y - y.mean()) / y.std()
delta = 0.5 + time.time() % 1.0

model = keras.Sequential(
    [keras.Input((10,)), keras.layers.Dense(20, activation="relu"), keras.layers.Dense(1)]
)
model.compile(optimizer="adam", loss=keras.losses.Huber(delta=delta), metrics=["mae"])
model.fit(x, y, epochs=3, verbose=0)
