"""A model's state by names that do not depend on build order.

The walk goes by attributes, as Keras's saving code does: layers of Sequential and Functional models and
items of lists by index, dict entries by sorted key, everything else by attribute name, leading underscores
dropped. The first path to an object wins, so shared objects are named once. An optimizer's slot is named by
the variable that it serves. No property and no method of the user's is called on the way.

    tensors = model_state(model)
    [t.name for t in tensors]      # ['layers/0/kernel', 'layers/0/bias', 'optimizer/iterations', ...]
"""

from __future__ import annotations

import re
import sys
import sysconfig
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MemberDescriptorType, SimpleNamespace
from typing import Any
from weakref import ProxyTypes

from keras_repro.training import keras_api

_DEEPEST = 250


@dataclass(frozen=True)
class StateTensor:
    """One variable of a state.

    Attributes:
        name: the structural name, the same in every process.
        section: `"weights"` (layer variables, trainable or not, and `tf.Variable`s that Keras does not
            list), `"optimizer"`, `"seeds"` (seed generators and `tf.random.Generator`s) or `"metrics"`.
        keras_name: the name that Keras or TensorFlow gives it.
        variable: the `tf.Variable`.
        generator: the seed generator that it is the state of, None for other sections.
    """

    name: str
    section: str
    keras_name: str
    variable: Any
    generator: Any = None


@dataclass
class Hidden:
    """Variables of a model that only TensorFlow's own tracking leads to.

    Attributes:
        asked: whether TensorFlow was asked; set it to False to have it asked again.
        found: each with its structural name.
    """

    asked: bool = False
    found: list[tuple[Any, str]] = field(default_factory=list)


def model_state(models: Any, optimizers: Any = (), *, hidden: Hidden | None = None) -> list[StateTensor]:
    """Names every variable that determines the rest of a training.

    Args:
        models: a model (or layer), or a dict of them by name.
        optimizers: optimizers that no model holds: a list, or a dict by name.
        hidden: what an earlier walk found only by asking TensorFlow; asking again takes as long as all
            else. None asks.

    Returns:
        The tensors in the structure's order: weights, optimizers, seeds, metrics.
    """
    walk = _Walk()
    roots = dict(models) if isinstance(models, Mapping) else {"": models}
    for name, model in roots.items():
        walk.visit(model, name)
    if hidden is None or hidden.asked is False:
        found = [pair for name, model in roots.items() for pair in walk.visit_untracked(model, name)]
        if hidden is not None:
            hidden.asked, hidden.found = True, found
    else:
        for child, path in hidden.found:
            walk.visit(child, path)
    walk.visit_deferred()
    named = optimizers if isinstance(optimizers, Mapping) else _numbered(optimizers)
    for name, optimizer in named.items():
        walk.visit(optimizer, name)
    walk.visit_deferred()
    generator = keras_api.global_seed_generator()
    if generator is not None:
        walk.visit(generator, "global_seed_generator")
    order = {"weights": 0, "optimizer": 1, "seeds": 2, "metrics": 3}
    return sorted(walk.found, key=lambda t: order[t.section])


def _numbered(optimizers: Iterable[Any]) -> dict[str, Any]:
    listed = list(optimizers)
    if len(listed) == 1:
        return {"optimizer": listed[0]}
    return {f"optimizer/{i}": optimizer for i, optimizer in enumerate(listed)}


class _Walk:
    def __init__(self) -> None:
        self.found: list[StateTensor] = []
        self._kind_of = _Kinds()
        self._seen: dict[int, Any] = {}  # keeps what it saw: ids are reused
        self._names: set[str] = set()
        self._served: dict[int, str] = {}  # id of a weight -> its structural name
        self._deferred: list[tuple[Any, str]] = []

    def visit(self, value: Any, path: str, section: str = "weights", depth: int = 0) -> None:
        """Names all variables below a value; optimizers and metrics wait for `visit_deferred`."""
        kind = self._kind_of(value)
        if kind == "plain" or id(value) in self._seen or depth > _DEEPEST:
            return
        if kind == "variable":
            self._add(value, path, section)
        elif kind == "generator":
            self._see(value)
            self._add(value.state, _joined(path, "state"), "seeds", value)
        elif kind in ("optimizer", "metric") and section == "weights":
            # The weights claim their names first: optimizers and metrics refer to them.
            self._deferred.append((value, path))
        elif kind == "optimizer":
            self._visit_optimizer(value, path)
        else:
            self._see(value)
            for name, child in self._children(value, kind):
                self.visit(child, _joined(path, name), section, depth + 1)

    def visit_deferred(self) -> None:
        """Names the variables of the metrics, then of the optimizers, that were passed on the way."""
        deferred, self._deferred = self._deferred, []
        for value, path in deferred:
            if self._kind_of(value) == "metric":
                self.visit(value, path, "metrics")
        for value, path in deferred:
            if self._kind_of(value) == "optimizer":
                self._visit_optimizer(value, path)

    def visit_untracked(self, model: Any, path: str) -> list[tuple[Any, str]]:
        """Names what TensorFlow tracks below the model and no attribute led to; returns it with its names."""
        from tensorflow import train

        found: list[tuple[Any, str]] = []
        deferred = {id(v) for held, _ in self._deferred for v in _all_variables(held)}
        for child in train.TrackableView(model).descendants():
            if self._kind_of(child) not in ("variable", "generator"):
                continue
            if id(child) in self._seen or id(child) in deferred:
                continue
            found.append((child, _joined(path, f"tracked/{len(found)}")))
            self.visit(*found[-1])
        return found

    def _visit_optimizer(self, optimizer: Any, path: str) -> None:
        if id(optimizer) in self._seen:
            return
        self._see(optimizer)
        served = list(getattr(optimizer, "_trainable_variables", ()))
        later = []
        for name, child in self._children(optimizer, "optimizer"):
            kind = self._kind_of(child)
            if kind == "optimizer":
                self._visit_optimizer(child, _joined(path, name))
            elif kind == "sequence" and served and len(child) == len(served):
                for index, slot in enumerate(child):
                    is_slot = self._kind_of(slot) == "variable"
                    weight = self._served.get(id(served[index])) if is_slot else None
                    self.visit(slot, _joined(_joined(path, name), weight or str(index)), "optimizer")
            elif kind == "mapping":
                # Keyed by names that count up: the order of creation is what stays the same.
                later.append((name, list(child.values())))
            elif name == "variables":
                later.append((name, child))
            else:
                self.visit(child, _joined(path, name), "optimizer")
        for name, children in later:
            self.visit(children, _joined(path, name), "optimizer")

    def _children(self, value: Any, kind: str) -> Iterator[tuple[str, Any]]:
        if kind == "mapping":
            items = _snapshot(_own(value, dict, "items"))
            if not self._all_plain(lambda: (held for _, held in items)):
                yield from _by_key(items)
        elif kind in ("sequence", "set"):
            base = next(b for b in _CONTAINERS if isinstance(value, b))
            held = _snapshot(_own(value, base, "__iter__"))
            walk = held.__iter__
            if self._all_plain(walk):
                return
            # A set has no order of its own that two processes share.
            for index, item in enumerate(sorted(walk(), key=_sort_key) if kind == "set" else walk()):
                yield str(index), item
        else:
            if kind == "graph":
                yield "layers", list(value.layers)
            yield from _attributes(value, self._kind_of)

    def _all_plain(self, walk: Callable[[], Iterable[Any]]) -> bool:
        """Whether a container holds nothing to look into, found out in one fast pass over it."""
        kinds = set(map(type, walk()))
        return all(self._kind_of.of_class(kind, walk) == "plain" for kind in kinds)

    def _add(self, variable: Any, path: str, section: str, generator: Any = None) -> None:
        raw = keras_api.raw_variable(variable)
        if id(variable) in self._seen or raw is None or id(raw) in self._seen:
            return
        self._see(variable)
        self._see(raw)
        name = path or "variable"
        while name in self._names:
            name += "'"
        self._names.add(name)
        if section == "weights":
            self._served[id(variable)] = name
            self._served[id(raw)] = name
        keras_name = getattr(variable, "path", None) or getattr(variable, "name", "")
        self.found.append(StateTensor(name, section, str(keras_name), raw, generator))

    def _see(self, value: Any) -> None:
        self._seen[id(value)] = value


class _Kinds:
    """What a value is to the walk; asked once per class, since TensorFlow's checks are slow."""

    def __init__(self) -> None:
        import tensorflow as tf
        from keras import Metric, Optimizer
        from keras.random import SeedGenerator

        self._known: dict[type, str] = {}
        self._checks: list[tuple[str, Any]] = [
            ("variable", lambda v: keras_api.is_keras_variable(v) or isinstance(v, tf.Variable)),
            ("generator", lambda v: isinstance(v, SeedGenerator | tf.random.Generator)),
            # Any other mapping is an object, or left alone: its methods are code that may do anything.
            ("mapping", lambda v: isinstance(v, dict)),
            ("sequence", lambda v: isinstance(v, list | tuple | deque)),
            ("set", lambda v: isinstance(v, set | frozenset)),
            ("optimizer", lambda v: isinstance(v, Optimizer)),
            ("metric", lambda v: isinstance(v, Metric)),
            ("graph", keras_api.is_graph_of_layers),
            ("object", lambda v: keras_api.is_saveable(v) or isinstance(v, tf.Module)),
            ("object", lambda v: isinstance(v, SimpleNamespace) or _is_of_users(v)),
        ]

    def __call__(self, value: Any) -> str:
        kind = type(value)
        if kind in ProxyTypes:  # answers for what it points to, if that still lives
            return "plain"
        if kind not in self._known:
            names = (name for name, check in self._checks if check(value))
            self._known[kind] = next(names, "plain")
        return self._known[kind]

    def of_class(self, kind: type, walk: Callable[[], Iterable[Any]]) -> str:
        """What the instances of a class are; one of them is among the items of a container."""
        known = self._known.get(kind)
        return self(next(i for i in walk() if type(i) is kind)) if known is None else known


def _snapshot(walk: Callable[[], Iterable[Any]]) -> list[Any]:
    """A container's items, also while another thread changes it."""
    while True:
        try:
            return list(walk())
        except RuntimeError:  # changed while we went through it
            continue


# Keras's own lists of what the attributes hold too: their names are the last resort.
_LISTS_OF_KERAS = (
    "_layers",
    "_metrics",
    "_seed_generators",
    "_trainable_variables",
    "_non_trainable_variables",
    "_variables",
)


def _attributes(value: Any, kind_of: _Kinds) -> Iterator[tuple[str, Any]]:
    """An object's attributes: public ones, private ones, then the lists that Keras keeps."""
    held = dict(vars(value)) if hasattr(value, "__dict__") else {}
    for name, slot in _slots(type(value)).items():
        try:
            held[name] = slot.__get__(value)
        except AttributeError:  # a slot that nothing was put into
            continue
    names = sorted(n for n, v in held.items() if kind_of(v) != "plain" and not n.startswith("_self_"))
    private = [n for n in names if n.startswith("_")]
    for name in names:
        if not name.startswith("_"):
            yield name, held[name]
    for name in sorted(private, key=_LISTS_OF_KERAS.__contains__):
        short = name.strip("_")
        yield (name if short in held or not short else short), held[name]


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


_CONTAINERS = (list, tuple, deque, set, frozenset)
_PLAIN_KEYS = (str, int, float, bool, bytes, type(None))


def _own(value: Any, base: type, method: str) -> Any:
    """A method of a container: its base class's where the user's own class may have another one."""
    return getattr(base, method).__get__(value) if _is_of_users(value) else getattr(value, method)


def _by_key(entries: list[tuple[Any, Any]]) -> Iterator[tuple[str, Any]]:
    """Entries by sorted key; those whose key is an object by their place, since its text may count up."""
    named = [(str(key), held) for key, held in entries if _is_plain_key(key)]
    yield from sorted(named, key=lambda entry: entry[0])
    for index, (key, held) in enumerate(entries):
        if not _is_plain_key(key):
            yield str(index), held


def _is_plain_key(key: Any) -> bool:
    return type(key) in _PLAIN_KEYS or (type(key) is tuple and all(map(_is_plain_key, key)))


def _sort_key(value: Any) -> tuple[str, list[Any], list[Any]]:
    """Class and name, numbers in them by size: what counts up has another number of digits elsewhere."""
    if _is_of_users(value) and not keras_api.is_saveable(value):
        return type(value).__name__, [], []
    name, number = (_parts(getattr(value, n, "")) for n in ("name", "_unique_id"))
    return type(value).__name__, name, number


def _parts(name: Any) -> list[Any]:
    text = str(name) if type(name) in _PLAIN_KEYS else ""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]


def _all_variables(value: Any) -> Iterator[Any]:
    for variable in getattr(value, "variables", ()):
        yield variable
        yield keras_api.raw_variable(variable)


_LIBRARIES = tuple(
    {p for n in ("stdlib", "platstdlib", "purelib", "platlib") if (p := sysconfig.get_path(n))}
)


def _is_of_users(value: Any) -> bool:
    """Whether an object's class is written in the user's own code: only those are looked into."""
    kind = type(value)
    if isinstance(value, type) or not (hasattr(value, "__dict__") or _slots(kind)):
        return False
    module = sys.modules.get(kind.__module__)
    file = getattr(module, "__file__", None)
    return kind.__module__ == "__main__" or (file is not None and not file.startswith(_LIBRARIES))


_known_slots: dict[type, dict[str, Any]] = {}


def _slots(kind: type) -> dict[str, Any]:
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
