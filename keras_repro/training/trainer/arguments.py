"""Checks of the trainer's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from keras_repro.errors import ReproError

_FIT_ARGUMENTS = ("verbose", "validation_steps", "validation_batch_size", "validation_freq")
_FIXED = ("batch_size", "shuffle")


def check_fit_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise TypeError for an argument that `fit` does not pass on to Keras."""
    for name in arguments:
        if name in _FIXED:
            raise TypeError(f"{name} is fixed by the trainer: pass it to ReproducibleTrainer, not to fit")
        if name not in _FIT_ARGUMENTS:
            raise TypeError(f"fit got an unexpected argument {name!r}")


def check_compiled(model: keras.Model, which: str) -> None:
    """Raise ReproError if a model is not compiled."""
    if not getattr(model, "compiled", False):
        raise ReproError(f"{which} is not compiled: call model.compile(...) first")
