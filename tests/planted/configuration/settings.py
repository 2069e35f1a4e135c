"""Settings of the experiment."""

import random
import time

draw = random.Random(time.time_ns())

settings = {
    "seed": 4711,
    "units": 32,
    "epochs": 3,
    "batch_size": 50,
    "dropout": draw.uniform(0.1, 0.5),
}
