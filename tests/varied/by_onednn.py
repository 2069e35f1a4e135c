"""Orders its data in blocks where oneDNN is there to like them."""

import tensorflow  # noqa: F401
from exact import train
from tensorflow.python.util import _pywrap_util_port

train(8 if _pywrap_util_port.IsMklEnabled() else 1)
