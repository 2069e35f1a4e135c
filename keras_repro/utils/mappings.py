"""The differences of two mappings.

>>> differing_names({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4})
['b', 'c']
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def differing_names(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Return the names whose values differ in two mappings, in order."""
    return [name for name in dict.fromkeys([*a, *b]) if a.get(name) != b.get(name)]
