"""Read, compare and set one value that the user's code keeps outside of variables.

    value = UserValue.of([1, 2])                           # None for what does not count
    packed = value.packed(arrays, "values")                # for JSON
    assign(owner, "seen", value.kind, unpacked(packed, arrays))

The kind is `"plain"`; `"generator"` and the other names of `_STATES`; `"iterator"` or `"opaque"`.
"""

from __future__ import annotations

import array
import contextvars
import enum
import io
import marshal
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any
from weakref import ProxyTypes

import keras
import numpy as np
import tensorflow as tf

from keras_repro.storage.digest import array_digest, content_digest
from keras_repro.storage.plain_values import NotSerializable, deep_copied, pack, unpack
from keras_repro.training.backends.active import backend
from keras_repro.training.state.buffers import array_of_value
from keras_repro.training.state.value_kinds import is_of_users
from keras_repro.training.user_values.owner import Owner

_LARGE = 1 << 20  # bytes of a value that is not kept as it was at the start
# Modules whose objects only report a training, or tell the time.
_REPORTING = (
    "_csv",
    "_io",
    "csv",
    "datetime",
    "io",
    "logging",
    "matplotlib",
    "mlflow",
    "rich",
    "tqdm",
    "wandb",
)


@dataclass(frozen=True)
class UserValue:
    """A value at one time.

    Attributes:
        kind: what it is, as in the module's description.
        token: equal for equal values of the same kind.
        content: what is saved: the value, or the state of a generator or a table.
        is_kept: whether the content is a copy, so that it stays as it is now.
        shared_id: the id of a container or an array, which may have several names; None for other values.
    """

    kind: str
    token: Any
    content: Any = None
    is_kept: bool = False
    shared_id: int | None = None

    @classmethod
    def of(cls, value: Any, *, keep: bool = False) -> UserValue | None:
        """Return a value as it is now, None if it does not matter.

        Args:
            value: the value.
            keep: whether to copy it if it is small.
        """
        kind = _kind_of(value)
        if kind is None:
            return None
        if kind in _STATES:
            try:
                state = _STATES[kind][1](value)
            except (NotImplementedError, LookupError):  # it draws the system's entropy, or has no value
                return None
            with suppress(NotSerializable):
                return _known(kind, state, keep=keep, of=type(value))
            return cls("opaque", _identity(state), state)
        with suppress(NotSerializable):
            return _known("plain", value, keep=keep, of=type(value))
        if type(value).__module__.partition(".")[0] in _REPORTING:
            return None
        if isinstance(value, Iterator) and not isinstance(value, io.IOBase):
            return cls("iterator", type(value))
        return cls("opaque", _identity(value), value)

    @property
    def can_be_saved(self) -> bool:
        """Return whether it has a content that can be saved."""
        return self.kind == "plain" or self.kind in _STATES

    def can_follow(self, start: UserValue | None) -> bool:
        """Return whether it can be set where another process has the value `start`, None for none."""
        if start is not None and (start.kind, start.token[0]) == (self.kind, self.token[0]):
            return True
        made = self.token[0]  # a plain value of another type is made anew
        return self.kind == "plain" and (made in _PLAIN_TYPES or issubclass(made, tf.Tensor | np.generic))

    def packed(self, arrays: dict[str, Any], prefix: str) -> Any:
        """Return its content for JSON, and add the arrays in it to `arrays`."""
        return pack(self.content, arrays, prefix, other=_tensor)


def unpacked(packed: Any, arrays: Mapping[str, Any]) -> Any:
    """Return the content of the result of `UserValue.packed`."""
    return unpack(packed, arrays, others={"tensor": tf.constant})


def assign(owner: Owner, name: str, kind: str, content: Any) -> bool:
    """Set a value that exists; return whether that is possible.

    Args:
        owner: what holds it.
        name: its name there.
        kind: of the value to be set.
        content: of the value to be set.
    """
    present = owner.read()[name]
    if kind != "plain":
        is_one, _, set_state = _STATES[kind]
        if is_one(present):
            with suppress(KeyError, ValueError, TypeError):
                replacement = set_state(present, content)
                if replacement is not None:
                    owner.write(name, replacement)
                return True
        return False
    replacement = _changed_in_place(present, content)
    return replacement is present or write(owner, name, replacement)


def write(owner: Owner, name: str, value: Any) -> bool:
    """Bind a name to a value; return whether that is possible."""
    try:
        owner.write(name, value)
    except TypeError:  # an item of a tuple
        return False
    return True


def _changed_in_place(present: Any, content: Any) -> Any:
    """Change containers and arrays to a content, since they may have other names; else return the content."""
    base = next((b for b in _CONTAINERS if isinstance(present, b) and isinstance(content, b)), None)
    if base is dict:
        entries = {k: _changed_in_place(present[k], v) if k in present else v for k, v in content.items()}
        present.clear()
        present.update(entries)
    elif base is set:
        present.clear()
        present.update(content)
    elif base is not None:
        items = [_changed_in_place(*pair) for pair in zip(present, content, strict=False)]
        items += list(content)[len(items) :]
        if base is list:
            present[:] = items
        else:
            present.clear()
            present.extend(items)
    elif _fits(present, content):
        present[...] = content
    else:
        return content
    return present


_known_kinds: dict[type, str | None] = {}  # TensorFlow's checks are slow


def _kind_of(value: Any) -> str | None:
    """Return what the values of a class are: one of `_STATES`, maybe plain, or None if they never count."""
    if type(value) not in _known_kinds:
        _known_kinds[type(value)] = _classify(value)
    return _known_kinds[type(value)]


def _classify(value: Any) -> str | None:
    if type(value) in ProxyTypes:  # type checks would apply to its target
        return None
    if isinstance(value, tf.Tensor | keras.KerasTensor) and not hasattr(value, "numpy"):
        return None  # of a trace
    if backend.variables.is_table(value) and not backend.variables.is_mutable_table(value):
        return None
    return next((kind for kind, (is_one, _, _) in _STATES.items() if is_one(value)), "plain")


def _known(kind: str, content: Any, *, keep: bool, of: type) -> UserValue:
    """Return a value that can be saved.

    Raises:
        NotSerializable: it holds something that is not plain.
    """
    parts = _parts(content) if kind == "plain" else None
    if parts is not None:
        return UserValue("opaque", (of, _digest(parts)[0]))
    shared_id = id(content) if isinstance(content, (*_CONTAINERS, np.ndarray)) and kind == "plain" else None
    content = _based(content)  # a copy of a list that Keras tracks would copy the model
    digest, size = _digest(content)
    is_kept = keep and size <= _LARGE
    return UserValue(kind, (of, digest), deep_copied(content) if is_kept else content, is_kept, shared_id)


def _parts(value: Any) -> Any:
    """Return the plain parts of a value that can be compared and not saved, None for others."""
    if isinstance(value, tuple) and type(value) is not tuple:
        return tuple(value)
    if isinstance(value, np.ma.MaskedArray):
        return [value.data, np.ma.getmaskarray(value)]
    if isinstance(value, np.ndarray) and value.dtype.kind in "OV":
        return value.tolist()
    return None


def _digest(value: Any) -> tuple[bytes, int]:
    """Return a digest of a plain value, or its bytes if they are few, and its size in bytes."""
    try:
        data = marshal.dumps(value, 2)  # later versions depend on the number of references
        return (data if len(data) < 64 else content_digest(data)), len(data)
    except ValueError:  # it holds an array, or is not plain
        arrays: dict[str, Any] = {}
        text = repr(pack(value, arrays, "", other=_tensor))
        digests = [array_digest(name, array) for name, array in arrays.items()]
        size = len(text) + sum(array.nbytes for array in arrays.values())
        return content_digest("".join([text, *digests]).encode()), size


def _based(value: Any) -> Any:
    """Return a container of a derived class, such as a `Counter`, as a plain one."""
    if type(value) in _PLAIN_TYPES:
        return value
    base = next((b for b in _CONTAINERS if isinstance(value, b)), None)
    return value if base is None else base(value)


def _identity(value: Any) -> Any:
    """Return what stays the same as long as another object of a program has the same role."""
    if isinstance(value, FunctionType):
        return value.__code__.co_filename, value.__code__.co_firstlineno
    if isinstance(value, MethodType):
        return _identity(value.__func__)
    if isinstance(value, type | ModuleType):
        return value.__module__ if isinstance(value, type) else "", value.__name__
    if isinstance(value, (*_CONTAINERS, tuple)):
        return type(value), sorted(map(str, value)) if isinstance(value, dict) else len(value)
    if type(value).__module__.partition(".")[0] in ("keras", "tensorflow") or is_of_users(value):
        return type(value).__module__, type(value).__qualname__  # what it holds counts by itself
    return id(value)


def _buffer(value: Any, state: bytes) -> Any:
    return state if isinstance(value, bytearray) else array.array(value.typecode, state)


def _fits(present: Any, content: Any) -> bool:
    arrays = isinstance(present, np.ndarray) and isinstance(content, np.ndarray)
    return (
        arrays
        and (present.shape, present.dtype) == (content.shape, content.dtype)
        and present.flags.writeable
    )


def _tensor(value: Any) -> tuple[str, Any] | None:
    if isinstance(value, tf.Tensor) and hasattr(value, "numpy"):
        return "tensor", array_of_value(value)
    return None


# Values that are no plain ones: whether a value is one, and how its state is read and set.
_STATES: dict[str, tuple[Callable[[Any], bool], Callable[[Any], Any], Callable[[Any, Any], Any]]] = {
    "generator": (
        lambda v: isinstance(v, np.random.Generator),
        lambda v: v.bit_generator.state,
        lambda v, state: setattr(v.bit_generator, "state", state),
    ),
    "random state": (
        lambda v: isinstance(v, np.random.RandomState),
        lambda v: v.get_state(legacy=False),
        lambda v, state: v.set_state(state),
    ),
    "random": (
        lambda v: isinstance(v, random.Random),
        lambda v: v.getstate(),
        lambda v, state: v.setstate(state),
    ),
    "table": (
        backend.variables.is_mutable_table,
        backend.variables.content_of_table,
        backend.variables.set_content_of_table,
    ),
    "buffer": (
        lambda v: isinstance(v, bytearray | array.array),
        bytes,
        lambda v, state: v.__setitem__(slice(None), _buffer(v, state)),
    ),
    "context variable": (
        lambda v: isinstance(v, contextvars.ContextVar),
        lambda v: v.get(),
        lambda v, state: v.set(state) and None,
    ),
    "enum": (lambda v: isinstance(v, enum.Enum), lambda v: v.name, lambda v, name: type(v)[name]),
}
_CONTAINERS = (list, dict, set, deque)
_PLAIN_TYPES = {*_CONTAINERS, int, float, bool, str, bytes, type(None), tuple, frozenset, np.ndarray}
