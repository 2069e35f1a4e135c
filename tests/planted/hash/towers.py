"""One embedding for each categorical feature."""

import keras
import numpy as np

keras.utils.set_random_seed(41)
SIZES = {"city": 30, "browser": 8, "weekday": 7, "plan": 4, "country": 12, "channel": 6}
wanted = {"city", "browser", "weekday", "plan", "country", "channel"}


def build():
    inputs, towers = {}, []
    for name in SIZES.keys() & wanted:
        size = SIZES[name]
        inputs[name] = keras.Input((), name=name, dtype="int32")
        tower = keras.layers.Embedding(size, 4)
        towers.append(tower(inputs[name]))
    joined = keras.layers.Concatenate()(towers)
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Dense(12, activation="relu")(joined)))


draw = np.random.default_rng(41)
x = {name: draw.integers(0, size, 400) for name, size in SIZES.items()}
y = (x["city"] * 0.1 + x["plan"]).astype("float32")
model = build()
model.compile(optimizer="adam", loss="mse")
model.fit(x, y, epochs=2, batch_size=50, verbose=0)
