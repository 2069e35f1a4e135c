"""Count how many different values each name of a line has had, of values that hardly repeat by chance."""

from __future__ import annotations

from typing import Any

import numpy as np

_MAX_VALUES = 4096  # of a name in a line; later ones are not counted
_MIN_ITEMS = 4  # of a container or an array
_LARGE = 1000  # a whole number from here on


class DistinctValues:
    """Count the values of names in lines, and how many of them are different.

    For a draw from one of the process's own generators, the value is anything that hardly repeats.
    """

    def __init__(self) -> None:
        self._digests: dict[tuple[str, int], dict[str, set[int]]] = {}
        self._counts: dict[tuple[str, int], dict[str, int]] = {}

    def add(self, at: tuple[str, int], name: str, value: Any, digest: bytes) -> None:
        """Count a value of a name, by its digest, unless it may well repeat by chance."""
        counts = self._counts.setdefault(at, {})
        if name != "continues at" and counts.get(name, 0) < _MAX_VALUES and hardly_repeats(value):
            counts[name] = counts.get(name, 0) + 1
            self._digests.setdefault(at, {}).setdefault(name, set()).add(hash(digest))

    def of(self, at: tuple[str, int]) -> dict[str, tuple[int, int]]:
        """Return for each name of a line how many different values it has had, and how many values."""
        counts = self._counts.get(at, {})
        return {name: (len(self._digests[at][name]), count) for name, count in counts.items()}


def hardly_repeats(value: Any) -> bool:
    """Return whether a random value like this one would hardly ever come twice: not so a small number."""
    kind = type(value)
    if value is None or kind is bool:
        return False
    if kind is int:
        return abs(value) >= _LARGE
    if kind is float:
        return not value.is_integer()
    if kind in (str, bytes, bytearray, list, tuple, dict):
        return len(value) >= _MIN_ITEMS
    if isinstance(value, np.ndarray | np.generic):
        return value.size >= _MIN_ITEMS or value.dtype.kind == "f"
    if kind.__name__ == "EagerTensor":
        return bool(value.dtype.is_floating) or value.shape.num_elements() >= _MIN_ITEMS
    return True
