"""JSON that others may have written: bounded in size, and of any type where a mapping or a list is expected.

>>> as_mapping([1]), as_sequence(None), as_mappings([{"a": 1}, 2])
({}, (), [{'a': 1}])
>>> as_text("x"), as_text(""), as_text(3)
('x', None, None)
>>> of_kind({"cpu": {"cores": "2", "model": "x"}, "new": [1]}, {"cpu": {"cores": int, "model": str}})
{'cpu': {'model': 'x'}, 'new': [1]}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

MOST_VALUES = 1 << 20
DEEPEST = 64

_LARGEST = 1 << 64
_MOST_DIMENSIONS = 64
_MOST_ELEMENTS = 1 << 59  # of 16 bytes each

Kind = type | Mapping[str, Any] | list[Any]


def parse_json(text: bytes) -> Any:
    """Parse JSON within bounds: values take up to 90 times the bytes of their text.

    Raises:
        ValueError: it is not JSON, or exceeds `MOST_VALUES` or `DEEPEST`; the message is a clause.
    """
    opened = text.count(b"[") + text.count(b"{")
    if opened + text.count(b",") > MOST_VALUES:  # commas in texts count too
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    try:
        data = _DECODER.decode(text.decode("utf-8", "surrogatepass"))
    except ValueError:
        raise ValueError("it is not JSON") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if opened > DEEPEST and _depth(data) > DEEPEST:
        raise ValueError("it is nested too deeply")
    return data


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)


def _depth(data: Any) -> int:
    """The nesting depth of lists and objects, found without recursion."""
    depth, level = 0, [data]
    while depth <= DEEPEST:
        containers = [v for v in level if isinstance(v, dict | list)]
        level = [item for v in containers for item in (v.values() if isinstance(v, dict) else v)]
        if not level:
            break
        depth += 1
    return depth


def of_kind(value: Any, kind: Kind) -> Any:
    """Return the parts of a value that are of a kind; None if the value itself is not.

    Args:
        value: any JSON.
        kind: a type of scalars (`float` includes whole numbers; numbers are finite, whole ones below 2^64); a
            list of one kind, for lists of such items; or a mapping of the kinds of fields by name, `"*"` for
            all others. Fields without a kind are kept.
    """
    if isinstance(kind, list):
        items = [of_kind(item, kind[0]) for item in as_sequence(value)]
        return [i for i in items if i is not None] if isinstance(value, list) else None
    if isinstance(kind, Mapping):
        if not isinstance(value, Mapping):
            return None
        kinds = {name: kind.get(name, kind.get("*")) for name in value}
        parts = {n: v if v is None or kinds[n] is None else of_kind(v, kinds[n]) for n, v in value.items()}
        return {n: part for n, part in parts.items() if part is not None or value[n] is None}
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        return None
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return None
    return None if isinstance(value, float) and not math.isfinite(value) else value


def is_shape(value: Any) -> bool:
    """Return whether a value holds the dimensions of an array that a machine can address."""
    if not isinstance(value, list) or len(value) > _MOST_DIMENSIONS:
        return False
    if not all(type(d) is int and 0 <= d < _LARGEST for d in value):
        return False
    return math.prod(d for d in value if d) < _MOST_ELEMENTS


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
