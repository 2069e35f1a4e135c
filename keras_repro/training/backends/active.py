"""The backend in use. Importing it loads no framework.

    from keras_repro.training.backends.active import backend

    backend.variables.read_all(variables)

A further backend is one more folder, and a choice here.
"""

from __future__ import annotations

from importlib import import_module

from keras_repro.training.backends.tensorflow_interface import TensorFlowBackend

_module = import_module("keras_repro.training.backends.keras3_tf.backend")
backend: TensorFlowBackend = _module.backend
