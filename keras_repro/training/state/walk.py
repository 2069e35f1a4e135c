"""Name the variables of a model's state, independently of build order.

The walk follows attributes, as Keras's saving code does. Layers of Sequential and Functional models and items
of lists are named by index, dict entries by sorted key, everything else by attribute name without leading
underscores. The first path to an object wins, so that a shared object has one name. An optimizer's slot is
named by the variable that it serves. No property and no method of the user's is called.

    tensors = model_state(model)
    [t.name for t in tensors]      # ['layers/0/kernel', 'layers/0/bias', 'optimizer/iterations', ...]
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras_repro.training.backends.active import backend
from keras_repro.training.state.value_kinds import (
    ValueClassifier,
    all_attributes,
    attributes,
    by_key,
    items_of,
    own_method,
    slots,
    sort_key,
)
from keras_repro.training.state.walk_cache import WalkCache

_DEEPEST = 250


@dataclass(frozen=True)
class StateTensor:
    """One variable of a state.

    Attributes:
        name: the structural name, equal in every process.
        section: `"weights"` (layer variables, trainable or not, and `tf.Variable`s that Keras does not
            list), `"optimizer"`, `"seeds"` (seed generators and `tf.random.Generator`s) or `"metrics"`.
        keras_name: its name in Keras or TensorFlow.
        variable: the `tf.Variable`.
        generator: the seed generator whose state it is, None for other sections.
    """

    name: str
    section: str
    keras_name: str
    variable: Any
    generator: Any = None


class StateWalk:
    """Walk the same models again and again; the walk is repeated only if something changed.

    Args:
        models: a model or layer, or a dict of them by name.
        optimizers: optimizers that belong to no model: a list, or a dict by name.
    """

    def __init__(self, models: Any, optimizers: Any = ()) -> None:
        self._models, self._optimizers = models, optimizers
        self._untracked: list[tuple[Any, str]] | None = None
        self._kind_of = ValueClassifier()
        self._roots: list[tuple[str, Any]] = []
        self._cache: WalkCache | None = None
        self._tensors: tuple[StateTensor, ...] = ()

    def tensors(self, *, full: bool = True) -> tuple[StateTensor, ...]:
        """Return every variable that determines the rest of a training.

        Args:
            full: whether to search TensorFlow's tracking for variables that no attribute leads to, which
                doubles the time. If not, the result of the last full walk is used for these.

        Returns:
            The tensors in the structure's order: weights, optimizers, seeds, metrics. If nothing changed, the
            same object as before.
        """
        models = dict(self._models) if isinstance(self._models, Mapping) else {"": self._models}
        named = self._optimizers if isinstance(self._optimizers, Mapping) else _numbered(self._optimizers)
        generator = backend.random_state.global_seed_generator()
        roots = [*models.items(), *named.items(), ("global_seed_generator", generator)]
        if not full and self._is_unchanged(roots):
            return self._tensors
        self._roots, self._cache = roots, WalkCache(self._kind_of.plain)
        walk = Walk(self._kind_of, self._cache)
        for name, model in models.items():
            walk.visit(model, name)
        if full or self._untracked is None:
            self._untracked = [
                pair for name, model in models.items() for pair in walk.visit_untracked(model, name)
            ]
        else:
            for child, path in self._untracked:
                walk.visit(child, path)
        walk.visit_deferred()
        for name, optimizer in named.items():
            walk.visit(optimizer, name)
        walk.visit_deferred()
        if generator is not None:
            walk.visit(generator, "global_seed_generator")
        order = {"weights": 0, "optimizer": 1, "seeds": 2, "metrics": 3}
        found = sorted(walk.found, key=lambda t: order[t.section])
        if not same_tensors(self._tensors, found):
            self._tensors = tuple(found)
        return self._tensors

    def forget(self) -> None:
        """Drop all references to the models' parts; the next walk is a full one."""
        self._roots, self._cache, self._untracked, self._tensors = [], None, None, ()

    def _is_unchanged(self, roots: list[tuple[str, Any]]) -> bool:
        if self._cache is None or len(roots) != len(self._roots):
            return False
        pairs = zip(roots, self._roots, strict=True)
        return all(a[0] == b[0] and a[1] is b[1] for a, b in pairs) and self._cache.is_valid()


def model_state(models: Any, optimizers: Any = ()) -> list[StateTensor]:
    """Return every variable that determines the rest of a training, by one walk.

    Args:
        models: a model or layer, or a dict of them by name.
        optimizers: optimizers that belong to no model: a list, or a dict by name.

    Returns:
        The tensors in the structure's order: weights, optimizers, seeds, metrics.
    """
    return list(StateWalk(models, optimizers).tensors())


def same_tensors(first: Sequence[StateTensor], second: Sequence[StateTensor]) -> bool:
    """Return whether two walks found the same variables by the same names."""
    return len(first) == len(second) and all(
        a.variable is b.variable and a.name == b.name for a, b in zip(first, second, strict=True)
    )


def _numbered(optimizers: Iterable[Any]) -> dict[str, Any]:
    listed = list(optimizers)
    if len(listed) == 1:
        return {"optimizer": listed[0]}
    return {f"optimizer/{i}": optimizer for i, optimizer in enumerate(listed)}


class Walk:
    """One walk through models and optimizers.

    Args:
        kind_of: classifies the values.
        cache: notes what the walk sees.

    Attributes:
        found: the variables.
        seen: path and value of each variable, object and container in the order of the walk, by its id.
    """

    def __init__(self, kind_of: ValueClassifier, cache: WalkCache) -> None:
        self.found: list[StateTensor] = []
        self._kind_of = kind_of
        self._cache = cache
        self.seen: dict[int, tuple[str, Any]] = {}  # with references: ids are reused
        self._names: set[str] = set()
        self._served: dict[int, str] = {}  # id of a weight -> its structural name
        self._deferred: list[tuple[Any, str]] = []

    def visit(self, value: Any, path: str, section: str = "weights", depth: int = 0) -> None:
        """Name all variables below a value; optimizers and metrics wait for `visit_deferred`."""
        kind = self._kind_of(value)
        if kind == "plain" or id(value) in self.seen or depth > _DEEPEST:
            return
        if kind == "variable":
            self._add(value, path, section)
        elif kind == "generator":
            self._see(value, path)
            self._cache.result(_state_of, value)
            self._add(value.state, _joined(path, "state"), "seeds", value)
        elif kind in ("optimizer", "metric") and section == "weights":
            # Weights are named first: optimizers and metrics refer to them.
            self._deferred.append((value, path))
        elif kind == "optimizer":
            self._visit_optimizer(value, path)
        else:
            self._see(value, path)
            for name, child in self._children(value, kind):
                self.visit(child, _joined(path, name), section, depth + 1)

    def visit_deferred(self) -> None:
        """Name the variables of the deferred metrics, then of the deferred optimizers."""
        deferred, self._deferred = self._deferred, []
        for value, path in deferred:
            if self._kind_of(value) == "metric":
                self.visit(value, path, "metrics")
        for value, path in deferred:
            if self._kind_of(value) == "optimizer":
                self._visit_optimizer(value, path)

    def visit_untracked(self, model: Any, path: str) -> list[tuple[Any, str]]:
        """Name the variables that only TensorFlow's tracking leads to; return them and their paths."""
        found: list[tuple[Any, str]] = []
        deferred = {id(v) for owner, _ in self._deferred for v in _all_variables(owner)}
        for child in backend.variables.tracked_objects(model):
            if self._kind_of(child) not in ("variable", "generator"):
                continue
            if id(child) in self.seen or id(child) in deferred:
                continue
            found.append((child, _joined(path, f"tracked/{len(found)}")))
            self.visit(*found[-1])
        return found

    def _visit_optimizer(self, optimizer: Any, path: str) -> None:
        if id(optimizer) in self.seen:
            return
        self._see(optimizer, path)
        served = backend.variables.trained_variables(optimizer)
        later = []
        for name, child in self._children(optimizer, "optimizer"):
            kind = self._kind_of(child)
            if kind == "optimizer":
                self._visit_optimizer(child, _joined(path, name))
            elif kind == "sequence" and served and len(child) == len(served):
                self._cache.container(child.__iter__)
                for index, slot in enumerate(child):
                    is_slot = self._kind_of(slot) == "variable"
                    weight = self._served.get(id(served[index])) if is_slot else None
                    self.visit(slot, _joined(_joined(path, name), weight or str(index)), "optimizer")
            elif kind == "mapping":
                # The keys contain counters; the order of creation is equal in every process.
                self._cache.mapping(child.items)
                later.append((name, list(child.values())))
            elif name == "variables":
                later.append((name, child))
            else:
                self.visit(child, _joined(path, name), "optimizer")
        for name, children in later:
            self.visit(children, _joined(path, name), "optimizer")

    def _children(self, value: Any, kind: str) -> Iterator[tuple[str, Any]]:
        if kind == "mapping":
            entries = own_method(value, dict, "items")
            items = items_of(entries)
            if self._all_plain(lambda: (item for _, item in items)):
                self._cache.plain_container(own_method(value, dict, "values"))
                return
            self._cache.mapping(entries)
            yield from by_key(items)
        elif kind in ("sequence", "set"):
            base = next(b for b in _CONTAINERS if isinstance(value, b))
            iterate = own_method(value, base, "__iter__")
            items = items_of(iterate)
            if self._all_plain(items.__iter__):
                self._cache.plain_container(iterate)
                return
            self._cache.container(iterate)
            # The order of a set differs between processes.
            for index, item in enumerate(sorted(items, key=sort_key) if kind == "set" else items):
                yield str(index), item
        else:
            self._cache.attributes(value, (lambda: all_attributes(value)) if slots(type(value)) else None)
            if kind == "graph":
                self._cache.container(lambda: value.layers)
                yield "layers", list(value.layers)
            yield from attributes(value, self._kind_of)

    def _all_plain(self, walk: Callable[[], Iterable[Any]]) -> bool:
        """Return whether all items of a container are plain, by one fast pass over their types."""
        kinds = set(map(type, walk()))
        return all(self._kind_of.of_class(kind, walk) == "plain" for kind in kinds)

    def _add(self, variable: Any, path: str, section: str, generator: Any = None) -> None:
        raw = backend.variables.raw_variable(variable)
        self._cache.result(backend.variables.raw_variable, variable)
        if id(variable) in self.seen or raw is None or id(raw) in self.seen:
            return
        self._see(variable, path)
        self._see(raw, path)
        name = path or "variable"
        while name in self._names:
            name += "'"
        self._names.add(name)
        if section == "weights":
            self._served[id(variable)] = name
            self._served[id(raw)] = name
        keras_name = getattr(variable, "path", None) or getattr(variable, "name", "")
        self.found.append(StateTensor(name, section, str(keras_name), raw, generator))

    def _see(self, value: Any, path: str) -> None:
        self.seen[id(value)] = path, value


def _state_of(generator: Any) -> Any:
    return generator.state


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


_CONTAINERS = (list, tuple, deque, set, frozenset)


def _all_variables(value: Any) -> Iterator[Any]:
    for variable in getattr(value, "variables", ()):
        yield variable
        yield backend.variables.raw_variable(variable)
