"""Find the first difference of two nested settings, such as configurations of models.

>>> print(first_config_difference({"layers": [1, 2]}, {"layers": [1, 3]}, "configuration"))
configuration layers 1 (2 and 3)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LONGEST_PATH = 200  # characters: an untrusted ledger may nest to any depth


# Settings whose differences show elsewhere: in the state of generators, in the data.
_SHOWN_ELSEWHERE = ("seed", "seed_generator", "random_seed", "steps", "steps_requested")


def without_consequences(settings: Any) -> Any:
    """Return settings without those that show elsewhere: seeds, initializers and the number of steps."""
    if isinstance(settings, Mapping):
        return {
            k: without_consequences(v)
            for k, v in settings.items()
            if k not in _SHOWN_ELSEWHERE and "initializer" not in k
        }
    return [without_consequences(v) for v in settings] if isinstance(settings, list) else settings


@dataclass(frozen=True)
class SettingDifference:
    """The first setting that differs.

    Attributes:
        path: the keys and indices that lead to it.
        values: both values as text, shortened.
    """

    path: str
    values: tuple[str, str]

    def __str__(self) -> str:
        return f"{self.path} ({self.values[0]} and {self.values[1]})"


def first_config_difference(a: Any, b: Any, path: str) -> SettingDifference:
    """Return the first difference of two unequal structures of dicts and lists.

    Args:
        a: the first structure.
        b: the second structure.
        path: the name of both.
    """
    if len(path) <= _LONGEST_PATH:
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            for key in dict.fromkeys([*a, *b]):
                if a.get(key) != b.get(key):
                    return first_config_difference(a.get(key), b.get(key), f"{path} {key}")
        if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            for index, (left, right) in enumerate(zip(a, b, strict=True)):
                if left != right:
                    return first_config_difference(left, right, f"{path} {index}")
    else:
        path = f"{path[:_LONGEST_PATH]}..."
    return SettingDifference(path, (f"{a!r:.60}", f"{b!r:.60}"))
