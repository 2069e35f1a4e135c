import time

import keras
from sklearn.datasets import load_wine
from sklearn.preprocessing import scale

START = time.perf_counter()
keras.utils.set_random_seed(61)


def cooled(epoch, rate):
    elapsed = time.perf_counter() - START
    return 0.01 * 0.5**elapsed


x, y = load_wine(return_X_y=True)
model = keras.Sequential(
    [keras.layers.Dense(20, activation="relu"), keras.layers.Dense(3, activation="softmax")]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
schedule = keras.callbacks.LearningRateScheduler(cooled)
model.fit(scale(x), y, epochs=4, callbacks=[schedule], verbose=0)
