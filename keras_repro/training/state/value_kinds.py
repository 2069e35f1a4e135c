"""What a value is to the walk through a model; the user's own classes are told from those of libraries."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable
from types import MemberDescriptorType, SimpleNamespace
from typing import Any
from weakref import ProxyTypes

from keras_repro.source_code.call_site import is_users_file
from keras_repro.training.backends.active import backend


class ValueClassifier:
    """What a value is to the walk; asked once per class, since TensorFlow's checks are slow."""

    def __init__(self) -> None:
        import tensorflow as tf
        from keras import Metric, Optimizer
        from keras.random import SeedGenerator

        self._known: dict[type, str] = {}
        self.plain: set[type] = set(ProxyTypes)
        self._checks: list[tuple[str, Any]] = [
            ("variable", lambda v: backend.variables.is_keras_variable(v) or isinstance(v, tf.Variable)),
            ("generator", lambda v: isinstance(v, SeedGenerator | tf.random.Generator)),
            # Any other mapping is an object, or left alone: its methods are code that may do anything.
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
        if kind in ProxyTypes:  # answers for what it points to, if that still lives
            return "plain"
        if kind not in self._known:
            names = (name for name, check in self._checks if check(value))
            self._known[kind] = next(names, "plain")
            if self._known[kind] == "plain":
                self.plain.add(kind)
        return self._known[kind]

    def of_class(self, kind: type, walk: Callable[[], Iterable[Any]]) -> str:
        """What the instances of a class are; one of them is among the items of a container."""
        known = self._known.get(kind)
        return self(next(i for i in walk() if type(i) is kind)) if known is None else known


def is_of_users(value: Any) -> bool:
    """Whether an object's class is written in the user's own code: only those are looked into."""
    kind = type(value)
    if isinstance(value, type) or not (hasattr(value, "__dict__") or slots(kind)):
        return False
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    return kind.__module__ == "__main__" or (file is not None and is_users_file(file))


_known_slots: dict[type, dict[str, Any]] = {}


def slots(kind: type) -> dict[str, Any]:
    """The `__slots__` of a class and its bases, as what reads them."""
    if kind not in _known_slots:
        _known_slots[kind] = {
            name: member
            for base in reversed(kind.__mro__)
            if "__slots__" in vars(base)
            for name, member in vars(base).items()
            if isinstance(member, MemberDescriptorType)
        }
    return _known_slots[kind]
