"""Bytes that stand for a value of the user's, the same in every process. Nothing of the user's is called."""

from __future__ import annotations

import argparse
import collections
import contextvars
import enum
import functools
import itertools
import random
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath
from typing import Any

import xxhash

from keras_repro.source_code.call_site import is_users_file
from keras_repro.training.backends.active import backend
from keras_repro.training.state.buffers import array_of_value

_MOST_BYTES = 1 << 26  # of an array; of a larger one, as many bytes of rows all over it
_MOST_ITEMS = 4096
_DEEPEST = 5
_BYTES_A_UNIT = 1 << 14


class DigestBudget:
    """How much has been looked at so far: 1 for each value, 1 for each 16 KB of an array."""

    done = 0


def value_digest(value: Any, depth: int = 0) -> bytes | None:
    """Bytes that stand for a value, the same in every process; None for what has no value to compare."""
    DigestBudget.done += 1
    kind = type(value)
    if value is None or kind in (bool, int, float, complex):
        return f"{kind.__name__} {value!r}".encode()
    if kind is str:
        return b"str " + xxhash.xxh3_64_digest(value.encode("utf-8", "surrogatepass"))
    if kind in (bytes, bytearray):
        return b"bytes " + xxhash.xxh3_64_digest(value)
    if depth > _DEEPEST:
        return b"..."
    if kind in (list, tuple):
        return _of_items(kind.__name__, (value_digest(v, depth + 1) for v in value[:_MOST_ITEMS]), len(value))
    if kind is dict:
        pairs = list(value.items())[:_MOST_ITEMS]
        return _of_items("dict", (value_digest(p, depth + 1) for p in pairs), len(value))
    if kind in (set, frozenset):
        # The order of a set is no value: it shows in what is made of it.
        held = sorted(d for v in list(value)[:_MOST_ITEMS] if (d := value_digest(v, depth + 1)) is not None)
        return _of_items("set", iter(held), len(value))
    # `isinstance` would ask an object for its `__class__`.
    if issubclass(kind, PurePath):
        return b"path " + str(value).encode("utf-8", "surrogatepass")
    if kind is contextvars.ContextVar:
        try:
            return value_digest(value.get(), depth + 1)
        except LookupError:  # it has no value here
            return None
    if kind is functools.partial:
        return _of_items("partial", (value_digest(v, depth + 1) for v in (value.args, value.keywords)), 2)
    if kind in (types.SimpleNamespace, argparse.Namespace):
        return value_digest(vars(value), depth + 1)
    if kind is random.Random:
        return repr(value.getstate()).encode()
    known = _of_library(value)
    known = _of_plain_type(value, depth) if known is None else known
    return _of_users_object(value, depth) if known is None and depth else known


# Of a class that is derived from one of these, that one's own methods are asked.
_PLAIN: tuple[tuple[type, Callable[[Any], Iterable[Any]]], ...] = (
    (collections.OrderedDict, collections.OrderedDict.items),
    (dict, dict.items),
    (tuple, tuple.__iter__),
    (list, list.__iter__),
    (collections.deque, collections.deque.__iter__),
)


def _of_plain_type(value: Any, depth: int) -> bytes | None:
    """Values of classes derived from Python's own: named tuples, counters, enums of numbers or text."""
    kind = type(value)
    if issubclass(kind, enum.Enum):
        held = object.__getattribute__(value, "__dict__")
        name = f"{kind.__qualname__} {held.get('_name_')} ".encode()
        return name + (value_digest(held.get("_value_"), depth + 1) or b"")
    for plain, items in _PLAIN:
        if issubclass(kind, plain):
            held = list(itertools.islice(items(value), _MOST_ITEMS))
            return _of_items(plain.__name__, (value_digest(v, depth + 1) for v in held), len(held))
    if issubclass(kind, str):
        return value_digest(str.__str__(value), depth)
    for number in (int, float):
        if issubclass(kind, number):
            return f"{number.__name__} {number.__repr__(value)}".encode()
    return None


def _of_users_object(value: Any, depth: int) -> bytes | None:
    """What an object of a class of the user's holds, derived from no class of a library: which one it is."""
    kind = type(value)
    if type(kind) is not type or not all(_is_users(k) for k in kind.__mro__[:-1]):
        return None
    held = object.__getattribute__(value, "__dict__") if kind.__dictoffset__ else {}
    pairs = list(held.items())[:_MOST_ITEMS] if type(held) is dict else []
    return _of_items(kind.__qualname__, (value_digest(p, depth + 1) for p in pairs), len(pairs))


def _is_users(kind: type) -> bool:
    module = sys.modules.get(str(kind.__module__))
    file = getattr(module, "__file__", None) if type(module) is types.ModuleType else None
    return file is not None and is_users_file(file)


def _of_items(name: str, digests: Iterator[bytes | None], count: int) -> bytes | None:
    hasher = xxhash.xxh3_64(f"{name} {count}".encode())
    for digest in digests:
        # What has no value still has its place.
        hasher.update(b"?" if digest is None else digest)
    return hasher.digest()


def _of_library(value: Any) -> bytes | None:
    """Values of NumPy, pandas, TensorFlow and the datetime module."""
    import numpy as np

    top = str(type(value).__module__).partition(".")[0]
    if top == "numpy":
        if isinstance(value, np.random.Generator):
            return repr(value.bit_generator.state).encode()
        if isinstance(value, np.random.RandomState):
            return repr(value.get_state(legacy=False)).encode()
        if isinstance(value, np.random.BitGenerator):
            return repr(value.state).encode()
        if isinstance(value, np.random.SeedSequence):
            return repr(value.state).encode()
        return _of_array(value) if isinstance(value, np.ndarray | np.generic) else None
    if top == "tensorflow":
        if type(value).__name__ == "EagerTensor" and value.dtype.name not in ("variant", "resource"):
            return _of_array(array_of_value(value))
        return _of_generator(value) if type(value).__name__ == "Generator" else _of_variable(value)
    if top == "keras":
        if type(value).__name__ == "SeedGenerator":
            return _of_generator(value)
        return _of_variable(backend.variables.value_of(value)) if "Variable" in type(value).__name__ else None
    if top in ("pandas", "scipy"):
        if type(value).__name__ in ("DataFrame", "Series", "Index"):
            return _of_array(value.to_numpy())
        return None
    return repr(value).encode() if top in ("datetime", "decimal", "fractions", "uuid") else None


def _of_generator(value: Any) -> bytes | None:
    """The state of a generator of TensorFlow or Keras; none while a graph is traced, or it is being made."""
    return _of_variable(backend.random_state.state_variable(value))


def _of_variable(value: Any) -> bytes | None:
    """What a variable holds; none while a graph is traced, or before it holds anything."""
    import tensorflow as tf

    if not isinstance(value, tf.Variable) or not tf.executing_eagerly():
        return None
    try:
        return _of_array(array_of_value(value.read_value()))
    except (tf.errors.OpError, NotImplementedError, AttributeError):  # it has no value yet
        return None


def _of_array(value: Any) -> bytes | None:
    import numpy as np

    array = np.asarray(value)
    shape = array.shape
    if array.nbytes > _MOST_BYTES:
        rows = _MOST_BYTES * shape[0] // array.nbytes
        if not rows:
            return None
        array = array[np.linspace(0, shape[0] - 1, rows, dtype=np.int64)]
    if array.dtype.kind in "OV" and array.dtype.names is None and array.dtype.kind == "O":
        return value_digest(array.reshape(-1)[:_MOST_ITEMS].tolist())
    DigestBudget.done += array.nbytes // _BYTES_A_UNIT
    flat = np.ascontiguousarray(array).reshape(-1).view("u1")
    return f"{array.dtype} {shape}".encode() + xxhash.xxh3_64_digest(flat.data)
