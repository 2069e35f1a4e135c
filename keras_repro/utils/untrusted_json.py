"""Values of JSON that others may have written: any type may come where a mapping or a list is expected.

>>> as_mapping([1]), as_sequence(None), as_mappings([{"a": 1}, 2])
({}, (), [{'a': 1}])
>>> as_text("x"), as_text(""), as_text(3)
('x', None, None)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return the value if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def as_sequence(value: Any) -> Sequence[Any]:
    """Return the value if it is a list or a tuple, else an empty one."""
    return value if isinstance(value, list | tuple) else ()


def as_mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings in a list; empty if it is no list."""
    return [item for item in as_sequence(value) if isinstance(item, Mapping)]


def as_texts(value: Any) -> list[str]:
    """Return the texts in a list; empty if it is no list."""
    return [item for item in as_sequence(value) if isinstance(item, str)]


def as_text(value: Any) -> str | None:
    """Return the value if it is a text that is not empty, else None."""
    return value if isinstance(value, str) and value else None
