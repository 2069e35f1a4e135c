"""Checks of arguments that fail with the argument's name, the value and the expected values.

>>> whole_number("epochs", 3, least=0)
3
>>> one_of("shuffle", "once", ("every_epoch", "once", "none"))
>>> one_of("shuffle", True, ("every_epoch", "once", "none"))
Traceback (most recent call last):
ValueError: shuffle must be one of 'every_epoch', 'once', 'none', received True
"""

from __future__ import annotations

import operator
from collections.abc import Collection
from typing import Any


def whole_number(name: str, value: Any, *, least: int, most: int | None = None) -> int:
    """Return an argument as an int; raise ValueError if it is not a whole number in the given range."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if isinstance(value, bool) or number < least or (most is not None and number > most):
        bounds = f"from {least}" + (f" to {most}" if most is not None else "")
        raise ValueError(f"{name} must be a whole number {bounds}, received {value!r}")
    return number


def one_of(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise ValueError if an argument is not one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, received {value!r}")
