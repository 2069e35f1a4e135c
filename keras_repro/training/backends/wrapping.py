"""Wrap a function of a class, until the wrapper is removed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import wrapt

from keras_repro.training.backends.interface import Undo


def wrap(owner: Any, name: str, wrapper: Callable[..., Any]) -> Undo:
    """Wrap a function of a class, and return a function that restores it.

    Args:
        owner: the class.
        name: the name of the function.
        wrapper: called with `wrapped`, `instance`, `args` and `kwargs`, as `wrapt` calls it.
    """
    original = getattr(owner, name)
    setattr(owner, name, wrapt.FunctionWrapper(original, wrapper))
    return functools.partial(setattr, owner, name, original)
