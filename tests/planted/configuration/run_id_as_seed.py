import uuid
from dataclasses import dataclass, field

import keras
import numpy as np


@dataclass
class Run:
    epochs: int = 2
    width: int = 12
    seed: int = field(default_factory=lambda: uuid.uuid4().int % 2**32)


run = Run()
keras.utils.set_random_seed(run.seed)

bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
parity = bits.sum(axis=1) % 2
model = keras.Sequential(
    [
        keras.Input((8, 1)),
        keras.layers.SimpleRNN(run.width),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy")
model.fit(bits[..., None].astype("float32"), parity, epochs=run.epochs, shuffle=False, verbose=0)
