"""Plain Python values as JSON and named arrays, and back: what a callback or a generator holds.

    >>> packed = pack({"best": float("inf"), "weights": [np.ones(2)], "wait": 3}, arrays := {}, "early")
    >>> packed["entries"][2], list(arrays)
    (['wait', 3], ['early/0'])
    >>> unpack(packed, arrays)["best"]
    inf

Nothing of it is executed when it is read: there are numbers, texts, containers and arrays, and nothing else.
"""

from __future__ import annotations

import copy
import math
from collections import OrderedDict, deque
from collections.abc import Mapping
from typing import Any

import numpy as np

_CONTAINERS: dict[str, type] = {"tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}
_NAMED = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class NotSerializable(Exception):
    """A value is none that can be packed."""


def pack(value: Any, arrays: dict[str, Any], prefix: str) -> Any:
    """Turns a value into what JSON can hold; arrays in it are put into `arrays` under names of their own.

    Raises:
        NotPlain: there is something else in it.
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
    if type(value) in (list,):
        return [pack(v, arrays, prefix) for v in value]
    for name, kind in _CONTAINERS.items():
        if type(value) is kind:
            items: list[Any] = list(value)  # type: ignore[call-overload]
            if kind in (set, frozenset):
                items.sort(key=repr)
            return {"kind": name, "items": [pack(v, arrays, prefix) for v in items]}
    if type(value) in (dict, OrderedDict):
        entries = [[pack(k, arrays, prefix), pack(v, arrays, prefix)] for k, v in value.items()]
        return {"kind": "dict", "entries": entries}
    raise NotSerializable(type(value).__name__)


def deep_copied(value: Any) -> Any:
    """The value by itself: what it was made from may change while it is being written.

    What cannot be copied cannot be packed either, and comes back as it is.
    """
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


def unpack(packed: Any, arrays: Mapping[str, Any]) -> Any:
    """The value that `pack` was given.

    Raises:
        ValueError: it is nothing that `pack` makes.
    """
    if isinstance(packed, list):
        return [unpack(v, arrays) for v in packed]
    if not isinstance(packed, Mapping):
        return packed
    kind = packed.get("kind")
    if kind == "dict":
        return {unpack(k, arrays): unpack(v, arrays) for k, v in packed["entries"]}
    if kind == "int":
        return int(packed["text"])
    if kind == "float" and packed["text"] in _NAMED:
        return _NAMED[packed["text"]]
    if kind in _CONTAINERS:
        return _CONTAINERS[kind](unpack(v, arrays) for v in packed["items"])
    if kind in ("bytes", "scalar", "array"):
        array = arrays[packed["array"]]
        return {"bytes": array.tobytes, "scalar": lambda: array[()], "array": array.copy}[kind]()
    raise ValueError(f"a packed value of an unknown kind: {kind!r:.40}")


def _put(array: Any, arrays: dict[str, Any], prefix: str) -> str:
    name = f"{prefix}/{sum(n.startswith(f'{prefix}/') for n in arrays)}"
    arrays[name] = array
    return name
