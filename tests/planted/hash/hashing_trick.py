"""Is a line of a log an error? Features come from text_features.py."""

import keras
import numpy as np
from text_features import BUCKETS, bag_of_tokens

keras.utils.set_random_seed(5)
source = np.random.default_rng(5)
ACTIONS = ["connect", "read", "write", "close", "flush", "retry", "login", "logout"]
OUTCOMES = ["ok", "done", "timeout", "refused", "denied", "success"]
lines = [f"{source.choice(ACTIONS)} {source.choice(OUTCOMES)} {source.integers(100)}" for _ in range(300)]
failed = np.array([any(w in line for w in ("timeout", "refused", "denied")) for line in lines], "float32")

model = keras.Sequential([keras.Input((BUCKETS,)), keras.layers.Dense(1, activation="sigmoid")])
model.compile(optimizer=keras.optimizers.Ftrl(0.1), loss="binary_crossentropy")
model.fit(bag_of_tokens(lines), failed, epochs=3, verbose=0)
