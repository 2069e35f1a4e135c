import keras
import numpy as np
from settings import settings

keras.utils.set_random_seed(settings["seed"])
source = np.random.default_rng(settings["seed"])
x = source.normal(size=(500, 16)).astype("float32")
y = (np.linalg.norm(x, axis=1) > 4).astype("float32")

inputs = keras.Input((16,))
h = keras.layers.Dense(settings["units"], activation="relu")(inputs)
h = keras.layers.Dropout(settings["dropout"], seed=1)(h)
model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(h))
model.compile(optimizer="adam", loss="binary_crossentropy")
model.fit(x, y, epochs=settings["epochs"], batch_size=settings["batch_size"], verbose=0)
