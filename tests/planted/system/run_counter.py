import json
from pathlib import Path

import keras
import numpy as np
from keras import layers

COUNTER = Path("runs.json")


def next_run():
    state = json.loads(COUNTER.read_text()) if COUNTER.exists() else {"run": 0}
    state["run"] += 1
    COUNTER.write_text(json.dumps(state))
    return state["run"]


run = next_run()
keras.utils.set_random_seed(1000 + run)
print("run", run)

grid = np.linspace(0, 1, 12)
frames = np.stack([np.outer(np.sin(k * grid), np.cos(k * grid)) for k in np.linspace(1, 9, 96)])
model = keras.Sequential(
    [
        layers.Input((12, 12, 1)),
        layers.Conv2D(4, 3, activation="relu", strides=2),
        layers.Conv2DTranspose(4, 3, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(1),
    ]
)
model.compile(optimizer="adam", loss="mse")
model.fit(frames[..., None].astype("float32"), np.linspace(1, 9, 96), shuffle=False, epochs=2, verbose=0)
