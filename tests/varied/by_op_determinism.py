"""Use fewer workers if op determinism is enabled."""

import tensorflow  # noqa: F401
from exact import train
from tensorflow.python.framework import config

train(1 if config.is_op_determinism_enabled() else 4)
