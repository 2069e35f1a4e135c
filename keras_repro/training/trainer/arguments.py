"""The arguments of the trainer: what they must be."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, get_args

import keras

from keras_repro.errors import ReproError
from keras_repro.training.data.order.permutation import Shuffle

_FIT_ARGUMENTS = ("verbose", "validation_steps", "validation_batch_size", "validation_freq")


_FIXED = ("batch_size", "shuffle")


def whole(name: str, value: Any, *, least: int, most: int | None = None) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least or (most is not None and number > most):
        bounds = f"from {least}" + (f" to {most}" if most is not None else "")
        raise ValueError(f"{name} must be a whole number {bounds}, received {value!r}")
    return number


def check_shuffle(shuffle: str) -> None:
    if shuffle not in get_args(Shuffle):
        known = ", ".join(map(repr, get_args(Shuffle)))
        raise ValueError(f"shuffle must be one of {known}, received {shuffle!r}")


def check_arguments(arguments: Mapping[str, Any]) -> None:
    for name in arguments:
        if name in _FIXED:
            raise TypeError(f"{name} is fixed by the trainer: give it to ReproducibleTrainer, not to fit")
        if name not in _FIT_ARGUMENTS:
            raise TypeError(f"fit got an unexpected argument {name!r}")


def check_compiled(model: keras.Model, which: str) -> None:
    if not getattr(model, "compiled", False):
        raise ReproError(f"{which} is not compiled: call model.compile(...) first")
