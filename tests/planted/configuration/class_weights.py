import keras
import numpy as np
from sklearn.datasets import make_classification

keras.utils.set_random_seed(20)
x, y = make_classification(400, weights=[0.8], random_state=20)
positive = np.random.default_rng().uniform(1, 3)

model = keras.Sequential(
    [keras.Input((20,)), keras.layers.Dense(10, activation="relu"), keras.layers.Dense(1)]
)
model.compile(optimizer="adam", loss=keras.losses.BinaryCrossentropy(from_logits=True))
model.fit(x.astype("float32"), y, epochs=3, class_weight={0: 1.0, 1: positive}, verbose=0)
