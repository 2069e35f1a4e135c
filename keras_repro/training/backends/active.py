"""The backend in use. Importing it loads no framework.

backend.variables.read_all(variables)
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

backend: Any = import_module("keras_repro.training.backends.keras3_tf.backend")
