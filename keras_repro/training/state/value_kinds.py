"""What a value is to the walk through a model, and what it contains, in the same order in every process."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import MemberDescriptorType, SimpleNamespace
from typing import Any
from weakref import ProxyTypes

from keras_repro.source_code.ownership import is_users_class
from keras_repro.training.backends.active import backend

_PLAIN_KEYS = (str, int, float, bool, bytes, type(None))


class ValueClassifier:
    """Classify values for the walk; each class is checked once, since TensorFlow's checks are slow.

    Attributes:
        plain: the classes whose instances lead to no variable, as far as known.
    """

    def __init__(self) -> None:
        import tensorflow as tf
        from keras import Metric, Optimizer
        from keras.random import SeedGenerator

        self._known: dict[type, str] = {}
        self.plain: set[type] = set(ProxyTypes)
        self._checks: list[tuple[str, Any]] = [
            ("plain", backend.variables.is_graph_node),
            ("variable", lambda v: backend.variables.is_keras_variable(v) or isinstance(v, tf.Variable)),
            ("generator", lambda v: isinstance(v, SeedGenerator | tf.random.Generator)),
            # Any other mapping is an object or plain: its methods may run any code.
            ("mapping", lambda v: isinstance(v, dict)),
            ("sequence", lambda v: isinstance(v, list | tuple | deque)),
            ("set", lambda v: isinstance(v, set | frozenset)),
            ("optimizer", lambda v: isinstance(v, Optimizer)),
            ("metric", lambda v: isinstance(v, Metric)),
            ("graph", backend.variables.is_graph_of_layers),
            ("object", lambda v: backend.variables.is_saveable(v) or isinstance(v, tf.Module)),
            ("object", lambda v: isinstance(v, SimpleNamespace) or is_of_users(v)),
        ]

    def __call__(self, value: Any) -> str:
        kind = type(value)
        if kind in ProxyTypes:  # type checks would apply to its target
            return "plain"
        if kind not in self._known:
            names = (name for name, check in self._checks if check(value))
            self._known[kind] = next(names, "plain")
            if self._known[kind] == "plain":
                self.plain.add(kind)
        return self._known[kind]

    def of_class(self, kind: type, walk: Callable[[], Iterable[Any]]) -> str:
        """Return the kind of a class's instances, of which `walk` yields at least one."""
        known = self._known.get(kind)
        return self(next(i for i in walk() if type(i) is kind)) if known is None else known


def is_of_users(value: Any) -> bool:
    """Return whether an object's class is defined in the user's own code."""
    kind = type(value)
    if isinstance(value, type) or not (hasattr(value, "__dict__") or slots(kind)):
        return False
    return is_users_class(kind)


_known_slots: dict[type, dict[str, Any]] = {}


def slots(kind: type) -> dict[str, Any]:
    """Return the descriptors of the `__slots__` of a class and its bases, by name."""
    if kind not in _known_slots:
        _known_slots[kind] = {
            name: member
            for base in reversed(kind.__mro__)
            if "__slots__" in vars(base)
            for name, member in vars(base).items()
            if isinstance(member, MemberDescriptorType)
        }
    return _known_slots[kind]


def attributes(value: Any, kind_of: ValueClassifier) -> Iterator[tuple[str, Any]]:
    """Yield an object's attributes that are not plain, by names without underscores.

    Public ones come first, then private ones, then the lists of Keras that repeat what other attributes hold.
    """
    by_name = all_attributes(value)
    names = sorted(n for n, v in by_name.items() if kind_of(v) != "plain" and not n.startswith("_self_"))
    private = [n for n in names if n.startswith("_")]
    for name in names:
        if not name.startswith("_"):
            yield name, by_name[name]
    for name in sorted(private, key=backend.variables.KERAS_LISTS.__contains__):
        short = name.strip("_")
        yield (name if short in by_name or not short else short), by_name[name]


def all_attributes(value: Any) -> dict[str, Any]:
    """Return an object's attributes by name, those in `__slots__` included."""
    by_name = dict(vars(value)) if hasattr(value, "__dict__") else {}
    for name, slot in slots(type(value)).items():
        try:
            by_name[name] = slot.__get__(value)
        except AttributeError:  # the slot is empty
            continue
    return by_name


def items_of(walk: Callable[[], Iterable[Any]]) -> list[Any]:
    """Return the items of a container, also while another thread changes it."""
    while True:
        try:
            return list(walk())
        except RuntimeError:  # it changed during the iteration
            continue


def own_method(value: Any, base: type, method: str) -> Any:
    """Return a method of a container; the base class's if the class is the user's, who may override it.

    A wrapper that only claims to be a container has no method of the base class.
    """
    is_real = issubclass(type(value), base)
    return getattr(base, method).__get__(value) if is_real and is_of_users(value) else getattr(value, method)


def by_key(entries: list[tuple[Any, Any]]) -> Iterator[tuple[str, Any]]:
    """Yield entries by sorted key; those whose key is an object by index: its text may contain a counter."""
    named = [(str(key), value) for key, value in entries if _is_plain_key(key)]
    yield from sorted(named, key=lambda entry: entry[0])
    for index, (key, value) in enumerate(entries):
        if not _is_plain_key(key):
            yield str(index), value


def _is_plain_key(key: Any) -> bool:
    return type(key) in _PLAIN_KEYS or (type(key) is tuple and all(map(_is_plain_key, key)))


def sort_key(value: Any) -> tuple[str, list[Any], list[Any]]:
    """Return a sort key for items of a set: class and name, with the numbers in names compared as numbers."""
    if is_of_users(value) and not backend.variables.is_saveable(value):
        return type(value).__name__, [], []
    name, number = (_parts(getattr(value, n, "")) for n in ("name", "_unique_id"))
    return type(value).__name__, name, number


def _parts(name: Any) -> list[Any]:
    text = str(name) if type(name) in _PLAIN_KEYS else ""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]
