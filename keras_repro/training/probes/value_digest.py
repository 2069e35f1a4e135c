"""Digest a value of the user's, the same in every process, without calling the user's code."""

from __future__ import annotations

import argparse
import collections
import contextvars
import enum
import functools
import itertools
import random
import types
from collections.abc import Callable, Iterable, Iterator
from pathlib import PurePath
from typing import Any

import numpy as np
import xxhash

from keras_repro.source_code.ownership import is_users_class
from keras_repro.training.backends.active import backend
from keras_repro.training.state.buffers import array_of_value

_MAX_BYTES = 1 << 26  # of an array; of a larger array, rows from all over it with this many bytes
_MAX_ITEMS = 4096
_MAX_DEPTH = 5
_BYTES_PER_UNIT = 1 << 14


class DigestBudget:
    """The units digested so far: 1 for each value, 1 for each 16 KB of an array."""

    spent = 0


def value_digest(value: Any, depth: int = 0) -> bytes | None:
    """Return a digest of a value, the same in every process; None if there is nothing to compare."""
    DigestBudget.spent += 1
    kind = type(value)
    if value is None or kind in (bool, int, float, complex):
        return f"{kind.__name__} {value!r}".encode()
    if kind is str:
        return b"str " + xxhash.xxh3_64_digest(value.encode("utf-8", "surrogatepass"))
    if kind in (bytes, bytearray):
        return b"bytes " + xxhash.xxh3_64_digest(value)
    if depth > _MAX_DEPTH:
        return b"..."
    if kind in (list, tuple):
        return _of_items(kind.__name__, (value_digest(v, depth + 1) for v in value[:_MAX_ITEMS]), len(value))
    if kind is dict:
        pairs = list(value.items())[:_MAX_ITEMS]
        return _of_items("dict", (value_digest(p, depth + 1) for p in pairs), len(value))
    if kind in (set, frozenset):
        # The order of a set is not part of its value: it shows in the values that are made of the set.
        digests = sorted(d for v in list(value)[:_MAX_ITEMS] if (d := value_digest(v, depth + 1)) is not None)
        return _of_items("set", iter(digests), len(value))
    # `isinstance` would call an object's `__class__`.
    if issubclass(kind, PurePath):
        return b"path " + str(value).encode("utf-8", "surrogatepass")
    if kind is contextvars.ContextVar:
        try:
            return value_digest(value.get(), depth + 1)
        except LookupError:  # it is not set here
            return None
    if kind is functools.partial:
        return _of_items("partial", (value_digest(v, depth + 1) for v in (value.args, value.keywords)), 2)
    if kind in (types.SimpleNamespace, argparse.Namespace):
        return value_digest(vars(value), depth + 1)
    if kind is random.Random:
        return repr(value.getstate()).encode()
    digest = _of_library(value)
    if digest is None:
        digest = _of_plain_type(value, depth)
    if digest is None and depth:
        digest = _of_users_object(value, depth)
    return digest


# For a derived class, the methods of its base are called instead of its own.
_PLAIN: tuple[tuple[type, Callable[[Any], Iterable[Any]]], ...] = (
    (collections.OrderedDict, collections.OrderedDict.items),
    (dict, dict.items),
    (tuple, tuple.__iter__),
    (list, list.__iter__),
    (collections.deque, collections.deque.__iter__),
)


def _of_plain_type(value: Any, depth: int) -> bytes | None:
    """Digest a value of a class derived from a built-in type: named tuples, counters, enums."""
    kind = type(value)
    if issubclass(kind, enum.Enum):
        attributes = object.__getattribute__(value, "__dict__")
        name = f"{kind.__qualname__} {attributes.get('_name_')} ".encode()
        return name + (value_digest(attributes.get("_value_"), depth + 1) or b"")
    for plain, items in _PLAIN:
        if issubclass(kind, plain):
            found = list(itertools.islice(items(value), _MAX_ITEMS))
            return _of_items(plain.__name__, (value_digest(v, depth + 1) for v in found), len(found))
    if issubclass(kind, str):
        return value_digest(str.__str__(value), depth)
    for number in (int, float):
        if issubclass(kind, number):
            return f"{number.__name__} {number.__repr__(value)}".encode()
    return None


def _of_users_object(value: Any, depth: int) -> bytes | None:
    """Digest the attributes of an object of a user's class that is derived from no library class."""
    kind = type(value)
    if type(kind) is not type or not all(map(is_users_class, kind.__mro__[:-1])):
        return None
    attributes = object.__getattribute__(value, "__dict__") if kind.__dictoffset__ else {}
    pairs = list(attributes.items())[:_MAX_ITEMS] if type(attributes) is dict else []
    return _of_items(kind.__qualname__, (value_digest(p, depth + 1) for p in pairs), len(pairs))


def _of_items(name: str, digests: Iterator[bytes | None], count: int) -> bytes | None:
    hasher = xxhash.xxh3_64(f"{name} {count}".encode())
    for digest in digests:
        hasher.update(b"?" if digest is None else digest)  # an item without a digest still counts
    return hasher.digest()


def _of_library(value: Any) -> bytes | None:
    """Digest a value of NumPy, pandas, TensorFlow, Keras or a few standard modules."""
    top = str(type(value).__module__).partition(".")[0]
    if top == "numpy":
        if isinstance(value, np.random.Generator):
            return repr(value.bit_generator.state).encode()
        if isinstance(value, np.random.RandomState):
            return repr(value.get_state(legacy=False)).encode()
        if isinstance(value, np.random.BitGenerator | np.random.SeedSequence):
            return repr(value.state).encode()
        return _of_array(value) if isinstance(value, np.ndarray | np.generic) else None
    if top == "tensorflow":
        if type(value).__name__ == "EagerTensor" and value.dtype.name not in ("variant", "resource"):
            return _of_array(array_of_value(value))
        return _of_generator(value) if type(value).__name__ == "Generator" else _of_variable(value)
    if top == "keras":
        if type(value).__name__ == "SeedGenerator":
            return _of_generator(value)
        is_variable = "Variable" in type(value).__name__
        return _of_variable(backend.variables.raw_variable(value)) if is_variable else None
    if top in ("pandas", "scipy"):
        if type(value).__name__ in ("DataFrame", "Series", "Index"):
            return _of_array(value.to_numpy())
        return None
    return repr(value).encode() if top in ("datetime", "decimal", "fractions", "uuid") else None


def _of_generator(value: Any) -> bytes | None:
    """Digest the state of a generator of TensorFlow or Keras; None while it is constructed or traced."""
    return _of_variable(backend.random_state.state_variable(value))


def _of_variable(value: Any) -> bytes | None:
    """Digest the value of a variable; None while a graph is traced, or before it has a value."""
    import tensorflow as tf

    if not isinstance(value, tf.Variable) or not tf.executing_eagerly():
        return None
    try:
        return _of_array(array_of_value(value.read_value()))
    except (tf.errors.OpError, NotImplementedError, AttributeError):  # it has no value yet
        return None


def _of_array(value: Any) -> bytes | None:
    array = np.asarray(value)
    shape = array.shape
    if array.nbytes > _MAX_BYTES:
        rows = _MAX_BYTES * shape[0] // array.nbytes
        if not rows:
            return None
        array = array[np.linspace(0, shape[0] - 1, rows, dtype=np.int64)]
    if array.dtype.kind == "O":
        return value_digest(array.reshape(-1)[:_MAX_ITEMS].tolist())
    DigestBudget.spent += array.nbytes // _BYTES_PER_UNIT
    flat = np.ascontiguousarray(array).reshape(-1).view("u1")
    return f"{array.dtype} {shape}".encode() + xxhash.xxh3_64_digest(flat.data)
