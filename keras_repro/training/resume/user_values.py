"""Capture and restore the values that the user's code keeps outside of variables.

    values = UserValues(model, callbacks)                        # notes the present values
    packed = values.capture(values.reach(), arrays, "values")    # those that have changed since
    values.restore(packed, arrays)                               # in another process, with equal code

Restored are plain values (numbers, texts, arrays, tensors, containers of them), generators of random numbers
and lookup tables. Any other value that has changed is named.
"""

from __future__ import annotations

import enum
import io
import marshal
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
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
from keras_repro.training.resume.reachable import Owner, Reached, reach
from keras_repro.training.state.buffers import array_of_value
from keras_repro.training.state.user_state import has_state
from keras_repro.training.state.value_kinds import ValueClassifier, is_of_users

_LARGE = 1 << 20  # bytes of a value that is not kept as it was at the start
_ABSENT = "absent"
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
class _Value:
    """A value at one time.

    Attributes:
        kind: one of `_SAVED`; `"iterator"` or `"opaque"`.
        token: equal for equal values.
        content: what is saved: the value, or the state of a generator or a table.
        is_kept: whether the content is a copy, so that it stays as it is now.
    """

    kind: str
    token: Any
    content: Any = None
    is_kept: bool = False


class UserValues:
    """The values that the code of a training can reach, and how they have changed.

    Args:
        model: the model.
        callbacks: the callbacks; of Keras's own and of those with `get_state`, only what functions use.
    """

    def __init__(self, model: Any, callbacks: Sequence[Any]) -> None:
        self._roots = {"model": model}
        for callback in callbacks:
            name = f"callback {type(callback).__name__}"
            while name in self._roots:
                name += "'"
            self._roots[name] = callback
        self._silent = {id(c) for c in callbacks if has_state(c) or type(c).__module__.startswith("keras.")}
        self._kind_of = ValueClassifier()
        reached = self.reach()
        self._owners = {o.path for o in reached.owners}
        self._start = {path: value for path, _, _, value in _values(reached, keep=True)}

    def reach(self) -> Reached:
        """Return what the code can reach."""
        return reach(self._roots, self._kind_of, silent=self._silent)

    def capture(self, reached: Reached, arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
        """Return the values that have changed, for JSON, and add the arrays in them to `arrays`.

        Args:
            reached: the result of `reach`.
            arrays: receives the arrays.
            prefix: of their names.

        Returns:
            `values` by path, and `inexact`: what has changed and cannot be saved, in words.
        """
        added, saved = dict[str, Any](), dict[str, Any]()
        inexact, present = [], set()
        for path, owner, _, value in _values(reached):
            present.add(path)
            problem = "is an iterator, which has a position" if value.kind == "iterator" else None
            if owner.only_plain and path not in self._start:
                continue  # Keras has made it since
            if problem is None and self._has_changed(path, value):
                problem = self._save(path, value, saved, added, prefix)
            if problem is not None:
                inexact.append(f"{path}{f' ({owner.line})' if owner.line else ''} {problem}")
        owners = {owner.path for owner in reached.owners}
        gone = (p for p in self._start if p not in present and p.rpartition(".")[0] in owners)
        saved |= {path: [_ABSENT, None] for path in gone}
        arrays.update({name: np.array(array) for name, array in added.items()})  # the user's may change
        return {"values": saved, "inexact": inexact}

    def restore(self, packed: Mapping[str, Any], arrays: Mapping[str, Any]) -> list[str]:
        """Restore the values of `capture`; those that are not in it, to what they were at first.

        Returns:
            The paths of values that cannot be restored.
        """
        saved = dict(packed["values"])
        reached = self.reach()
        owners = {owner.path: owner for owner in reached.owners}
        failed = []
        for path, owner, name, value in list(_values(reached)):
            kind, content = saved.pop(path, (None, None))
            if kind is None and path not in self._start:
                is_new = owner.path in self._owners and value.kind == "plain" and not owner.only_plain
                kind = _ABSENT if is_new else None
            elif kind is None and self._has_changed(path, value) and value.kind in _SAVED:
                start = self._start[path]
                kind, content = start.kind, deep_copied(start.content)
                if not start.is_kept:
                    failed.append(path)
                    continue
            elif kind is not None:
                content = unpack(content, arrays, others=_MADE)
            if kind == _ABSENT:
                owner.remove(name)
            elif kind is not None and not _assign(owner, name, kind, content):
                failed.append(path)
        for path, (kind, content) in saved.items():
            owner_path, _, name = path.rpartition(".")
            if kind == "plain" and owner_path in owners:
                owners[owner_path].write(name, unpack(content, arrays, others=_MADE))
            elif kind != _ABSENT:
                failed.append(path)
        return failed

    @contextmanager
    def restored(self, packed: Mapping[str, Any], arrays: Mapping[str, Any]) -> Iterator[None]:
        """Restore values for the duration of the block."""
        present_arrays: dict[str, Any] = {}
        present = self.capture(self.reach(), present_arrays, "present")
        self.restore(packed, arrays)
        try:
            yield
        finally:
            self.restore(present, present_arrays)

    def _save(
        self, path: str, value: _Value, saved: dict[str, Any], arrays: dict[str, Any], prefix: str
    ) -> str | None:
        """Save a value; return why it cannot be saved."""
        start = self._start.get(path)
        if value.kind == "opaque":
            return "has changed, and is not a plain value"
        is_made_anew = start is None or start.kind != value.kind or start.token[0] != value.token[0]
        if is_made_anew and not (value.kind == "plain" and _can_be_made(value.token[0])):
            return "was made during the training"
        saved[path] = [value.kind, pack(value.content, arrays, prefix, other=_tensor)]
        return None

    def _has_changed(self, path: str, value: _Value) -> bool:
        start = self._start.get(path)
        return start is None or (start.kind, start.token) != (value.kind, value.token)


def _values(reached: Reached, *, keep: bool = False) -> Iterator[tuple[str, Owner, str, _Value]]:
    """Yield path, owner, name and value of all that counts."""
    for owner in reached.owners:
        if owner.is_silent:
            continue
        for name, value in owner.read().items():
            known = _value_of(value, keep=keep)
            if known is not None and not (owner.only_plain and known.kind not in _SAVED):
                yield f"{owner.path}.{name}", owner, name, known


def _value_of(value: Any, *, keep: bool = False) -> _Value | None:
    """Return a value as it is now, None if it does not matter.

    Args:
        value: the value.
        keep: whether to copy it if it is small.
    """
    if type(value) in ProxyTypes:  # type checks would apply to its target
        return None
    if isinstance(value, tf.Tensor | keras.KerasTensor) and not hasattr(value, "numpy"):
        return None  # of a trace
    if backend.variables.is_table(value) and not backend.variables.is_mutable_table(value):
        return None
    for kind, (is_one, state_of, _) in _STATES.items():
        if is_one(value):
            with suppress(NotImplementedError):  # of a generator that draws the system's entropy
                return _known(kind, state_of(value), keep=keep, of=type(value))
            return None
    with suppress(NotSerializable):
        return _known("plain", value, keep=keep, of=type(value))
    if type(value).__module__.partition(".")[0] in _REPORTING:
        return None
    if isinstance(value, Iterator) and not isinstance(value, io.IOBase):
        return _Value("iterator", type(value))
    return _Value("opaque", _identity(value), value)


def _known(kind: str, content: Any, *, keep: bool, of: type) -> _Value:
    """Return a value that can be saved.

    Raises:
        NotSerializable: it holds something that is not plain.
    """
    if kind == "plain" and isinstance(content, tuple) and of is not tuple:
        return _Value("opaque", (of, _digest(tuple(content))[0]))
    content = _based(content)  # a copy of a list that Keras tracks would copy the model
    digest, size = _digest(content)
    is_kept = keep and size <= _LARGE
    return _Value(kind, (of, digest), deep_copied(content) if is_kept else content, is_kept)


def _digest(value: Any) -> tuple[bytes, int]:
    """Return a digest of a plain value, and its size in bytes."""
    try:
        data = marshal.dumps(value, 2)  # later versions depend on the number of references
        return content_digest(data), len(data)
    except ValueError:  # it holds an array, or is not plain
        arrays: dict[str, Any] = {}
        text = repr(pack(value, arrays, "", other=_tensor))
        digests = [array_digest(name, array) for name, array in arrays.items()]
        size = len(text) + sum(array.nbytes for array in arrays.values())
        return content_digest("".join([text, *digests]).encode()), size


def _based(value: Any) -> Any:
    """Return a container of a derived class, such as a `Counter`, as a plain one."""
    base = next((b for b in _CONTAINERS if isinstance(value, b)), None)
    return value if base is None or type(value) is base else base(value)


def _can_be_made(kind: type) -> bool:
    """Return whether a plain value of a type can be made again from what is saved."""
    return kind in _PLAIN_TYPES or issubclass(kind, tf.Tensor | np.generic)


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


def _assign(owner: Owner, name: str, kind: str, content: Any) -> bool:
    """Set a value; return whether that is possible."""
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
    base = next((b for b in _CONTAINERS if isinstance(present, b) and isinstance(content, b)), None)
    if base is not None and base is list:
        present[:] = content
    elif base is not None:
        present.clear()
        present.extend(content) if base is deque else present.update(content)
    elif _fits(present, content):
        present[...] = content
    else:
        try:
            owner.write(name, content)
        except TypeError:  # an item of a tuple
            return False
    return True


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
    "enum": (lambda v: isinstance(v, enum.Enum), lambda v: v.name, lambda v, name: type(v)[name]),
}
_MADE = {"tensor": tf.constant}  # how a value is made from an array
_SAVED = {"plain", *_STATES}
_CONTAINERS = (list, dict, set, deque)
_PLAIN_TYPES = {*_CONTAINERS, int, float, bool, str, bytes, type(None), tuple, frozenset, np.ndarray}
