"""Convert plain Python values, such as a callback's state, to JSON and named arrays, and back.

    >>> packed = pack({"best": float("inf"), "weights": [np.ones(2)], "wait": 3}, arrays := {}, "early")
    >>> packed["entries"][2], list(arrays)
    (['wait', 3], ['early/0'])
    >>> unpack(packed, arrays)["best"]
    inf

Reading executes nothing: there are only numbers, texts, containers and arrays.
"""

from __future__ import annotations

import copy
import math
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_CONTAINERS: dict[str, type] = {"tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}
Other = Callable[[Any], tuple[str, Any] | None]
_NAMED = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class NotSerializable(Exception):
    """A value cannot be packed."""


def pack(value: Any, arrays: dict[str, Any], prefix: str, *, other: Other | None = None) -> Any:
    """Return the JSON form of a value; its arrays are added to `arrays` under new names.

    Args:
        value: the value.
        arrays: receives the arrays.
        prefix: of the names of arrays.
        other: returns the kind and the array of a value of another type, None if it has none.

    Raises:
        NotSerializable: the value holds something else.
    """
    if value is None or isinstance(value, bool | str):
        return value
    if type(value) is int:
        return value if abs(value) < 2**53 else {"kind": "int", "text": str(value)}
    if type(value) is float:
        return value if math.isfinite(value) else {"kind": "float", "text": repr(value)}
    if isinstance(value, bytes):
        value = np.frombuffer(value, "u1")
        return {"kind": "bytes", "array": _put(value, arrays, prefix)}
    if isinstance(value, np.generic):
        return {"kind": "scalar", "array": _put(np.asarray(value), arrays, prefix)}
    if isinstance(value, np.ndarray) and value.dtype.kind not in "OV":
        return {"kind": "array", "array": _put(value, arrays, prefix)}
    if type(value) is list:
        return [pack(v, arrays, prefix, other=other) for v in value]
    for name, kind in _CONTAINERS.items():
        if type(value) is kind:
            items: list[Any] = list(value)  # type: ignore[call-overload]
            if kind in (set, frozenset):
                items.sort(key=repr)
            return {"kind": name, "items": [pack(v, arrays, prefix, other=other) for v in items]}
    if type(value) in (dict, OrderedDict):
        entries = [[pack(k, arrays, prefix), pack(v, arrays, prefix, other=other)] for k, v in value.items()]
        return {"kind": "dict", "entries": entries}
    found = None if other is None else other(value)
    if found is not None:
        return {"kind": found[0], "array": _put(found[1], arrays, prefix)}
    raise NotSerializable(type(value).__name__)


def deep_copied(value: Any) -> Any:
    """Return a copy of a value, which does not change while it is being written.

    A value that cannot be copied cannot be packed either, and is returned as it is.
    """
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def unpack(
    packed: Any, arrays: Mapping[str, Any], *, others: Mapping[str, Callable[[Any], Any]] | None = None
) -> Any:
    """Return the value of a packed form.

    Args:
        packed: the packed form.
        arrays: its arrays.
        others: by the kinds of `pack`'s `other`, a function that makes the value from the array.

    Raises:
        ValueError: it is not a form that `pack` returns.
    """
    if isinstance(packed, list):
        return [unpack(v, arrays, others=others) for v in packed]
    if not isinstance(packed, Mapping):
        return packed
    kind = packed.get("kind")
    if kind == "dict":
        return {unpack(k, arrays): unpack(v, arrays, others=others) for k, v in packed["entries"]}
    if kind == "int":
        return int(packed["text"])
    if kind == "float" and packed["text"] in _NAMED:
        return _NAMED[packed["text"]]
    if kind in _CONTAINERS:
        return _CONTAINERS[kind](unpack(v, arrays, others=others) for v in packed["items"])
    if kind in ("bytes", "scalar", "array"):
        array = arrays[packed["array"]]
        return {"bytes": array.tobytes, "scalar": lambda: array[()], "array": array.copy}[kind]()
    if others and str(kind) in others:
        return others[str(kind)](arrays[packed["array"]])
    raise ValueError(f"a packed value of an unknown kind: {kind!r:.40}")


def _put(array: Any, arrays: dict[str, Any], prefix: str) -> str:
    name = f"{prefix}/{sum(n.startswith(f'{prefix}/') for n in arrays)}"
    arrays[name] = array
    return name
