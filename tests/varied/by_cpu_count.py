"""Make one part of the data per CPU, each from its own generator."""

import os

import numpy as np
from exact import train

parts = len(os.sched_getaffinity(0))
train(sum(int(np.random.default_rng(part).integers(1, 9)) for part in range(parts)))
