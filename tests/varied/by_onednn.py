"""Order the data in blocks if oneDNN is enabled."""

import tensorflow  # noqa: F401
from exact import train
from tensorflow.python.util import _pywrap_util_port

train(8 if _pywrap_util_port.IsMklEnabled() else 1)
