"""Find where the code of a training can keep values: attributes, closures, globals, defaults, classes.

    for owner in reach({"model": model, "callback Warmup": callback}, ValueClassifier()).owners:
        owner.path, owner.read()        # 'model.layers.0', {'rate': 0.5, ...}

The walk follows attributes and containers, the functions of the user's
classes, functions that are values, and what these functions use. It calls no method of the user's.
"""

from __future__ import annotations

import enum
import functools
import operator
import sys
import weakref
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import keras
import numpy as np

from keras_repro.source_code.ownership import is_users_class, is_users_file
from keras_repro.source_code.users_code import functions_of, line_of_code, names_used
from keras_repro.training.backends.active import backend
from keras_repro.training.state.value_kinds import (
    ValueClassifier,
    all_attributes,
    is_of_users,
    items_of,
    own_method,
    sort_key,
)
from keras_repro.training.state.walk_cache import WalkCache
from keras_repro.training.user_values.owner import (
    HOLDERS,
    Owner,
    owner_of_arguments,
    owner_of_attributes,
    owner_of_cells,
    owner_of_class_attributes,
    owner_of_defaults,
    owner_of_function_attributes,
    owner_of_globals,
    owner_of_items,
)

_DEEPEST = 100
_CONTAINERS = ("mapping", "sequence", "set")
_OBJECTS = ("optimizer", "metric", "graph", "object")
_SCALARS: set[type] = {kind for kind in np.sctypeDict.values() if kind not in (np.object_, np.void)}
_PLAIN: set[type] = {int, float, bool, str, bytes, type(None), np.ndarray, *_SCALARS}
_CachedFunction = type(functools.lru_cache(lambda: None))


@dataclass(frozen=True)
class Reached:
    """What can be reached.

    Attributes:
        seen: what the walk saw. While it is valid, another walk would reach the same.
        owners: all that holds values.
        variables: variables and generators with a variable, by their paths.
        tables: lookup tables.
    """

    seen: WalkCache
    owners: list[Owner] = field(default_factory=list)
    variables: dict[str, Any] = field(default_factory=dict)
    tables: list[Any] = field(default_factory=list)


def reach(roots: Mapping[str, Any], kind_of: ValueClassifier, *, silent: Collection[int] = ()) -> Reached:
    """Return what can be reached from some objects.

    Args:
        roots: the objects by name.
        kind_of: classifies values; it learns.
        silent: ids of the objects whose own attributes do not count.
    """
    walk = _Walk(kind_of, silent)
    for path, value in roots.items():
        walk.visit(value, path)
    return walk.reached


class _Walk:
    def __init__(self, kind_of: ValueClassifier, silent: Collection[int]) -> None:
        self._cache = WalkCache(_PLAIN)
        self.reached = Reached(self._cache)
        self._silent = silent
        self._kind_of = kind_of
        self._seen: dict[int, Any] = {}  # keeps references: ids are reused
        self._paths: set[str] = set()
        self._globals: dict[int, dict[str, None]] = {}  # by the id of a module's variables: those in use

    def visit(self, value: Any, path: str, depth: int = 0, *, silent: bool = False) -> None:
        """Add a value and all that it leads to; a container without its items if `silent`."""
        kind = type(value)
        if depth > _DEEPEST or id(value) in self._seen or kind in weakref.ProxyTypes:
            return
        if isinstance(value, MethodType):
            self.visit(value.__self__, path, depth + 1)
            self.visit(value.__func__, path, depth + 1)
        elif isinstance(value, functools.partial):
            self._see(value)
            self.visit(value.func, path, depth + 1)
            self._add_noted(owner_of_arguments(f"{path}.arguments", value), depth)
        elif isinstance(value, FunctionType):
            self._visit_function(value, path, depth)
        elif isinstance(value, type):
            self._visit_class(value, depth)
        elif isinstance(value, ModuleType | enum.Enum):
            return
        elif kind is weakref.ref:
            self._follow(value, weakref.ref.__call__, path, depth)
        elif kind is _CachedFunction:
            self._follow(value, operator.attrgetter("__wrapped__"), path, depth)
        elif hasattr(kind, "python_function"):  # a traced function
            self._follow(value, operator.attrgetter("python_function"), path, depth)
        else:
            self._visit_value(value, path, depth, silent)

    def _follow(self, value: Any, function: Any, path: str, depth: int) -> None:
        """Visit the result of a function of a value."""
        self._see(value)
        self._cache.result(function, value)
        self.visit(function(value), path, depth + 1)

    def _visit_value(self, value: Any, path: str, depth: int, silent: bool) -> None:
        kind = self._kind_of(value)
        if kind in ("variable", "generator"):
            self._see(value)
            self.reached.variables[self._unused(path)] = value
        elif backend.variables.is_table(value):
            self._see(value)
            self.reached.tables.append(value)
        elif kind in _CONTAINERS:
            self._see(value)
            self._visit_items(value, kind, path, depth, silent)
        elif (
            kind in _OBJECTS
            or type(value) in HOLDERS
            or isinstance(value, keras.callbacks.Callback)
            or backend.variables.has_settings(value)
        ):
            self._see(value)
            self._visit_object(value, kind, path, depth)

    def _visit_object(self, value: Any, kind: str, path: str, depth: int) -> None:
        if kind == "graph":
            layers = {str(i): layer for i, layer in enumerate(value.layers)}
            self._visit_all(layers, f"{path}.layers", depth)
        self._cache.attributes(value, functools.partial(_parts_of_object, value))
        self._add(owner_of_attributes(path, value, is_silent=id(value) in self._silent), depth)
        others = {n: v for n, v in all_attributes(value).items() if not n.startswith("_self_")}
        self._visit_all(others, path, depth, silent=True)
        self._visit_class(type(value), depth)

    def _visit_items(self, value: Any, kind: str, path: str, depth: int, silent: bool) -> None:
        base = next(b for b in (dict, list, tuple, deque, set, frozenset) if isinstance(value, b))
        walk = own_method(value, base, "values" if kind == "mapping" else "__iter__")
        items = items_of(walk)
        if _PLAIN.issuperset(map(type, items)):
            self._cache.plain_container(walk)
        elif kind == "set":
            self._cache.container(walk)
            self._visit_all({str(i): v for i, v in enumerate(sorted(items, key=sort_key))}, path, depth)
        else:
            self._add_noted(owner_of_items(path, value, base, is_silent=silent), depth)

    def _visit_class(self, kind: type, depth: int) -> None:
        for base in () if id(kind) in self._seen else kind.__mro__:
            if id(base) in self._seen:
                continue
            self._see(base)
            if not is_users_class(base):
                continue
            path = base.__qualname__
            self._cache.attributes(base, functools.partial(_parts_of_class, base))
            self._add(owner_of_class_attributes(path, base), depth)
            for function in functions_of(base):
                self.visit(function, path, depth)
            descriptors = {n: v for n, v in vars(base).items() if is_of_users(v)}
            self._visit_all(descriptors, path, depth)
            self._visit_class(type(base), depth)

    def _visit_function(self, function: Any, path: str, depth: int) -> None:
        self._see(function)
        self._cache.attributes(function, functools.partial(_parts_of_function, function))
        if hasattr(function, "__wrapped__"):  # the wrapper may be a library's
            self.visit(function.__wrapped__, path, depth + 1)
        code = function.__code__
        if not is_users_file(code.co_filename):
            return
        path, line = function.__qualname__, line_of_code(code)
        pairs = zip(code.co_freevars, function.__closure__ or (), strict=True)
        cells = {name: cell for name, cell in pairs if id(cell) not in self._seen}
        for cell in cells.values():
            self._see(cell)
        if cells:
            self._add_noted(owner_of_cells(path, line, cells), depth)
        if function.__defaults__ or function.__kwdefaults__:
            self._add_noted(owner_of_defaults(f"{path}.defaults", line, function), depth)
        self._add(owner_of_function_attributes(path, line, function), depth)
        loaded, names = names_used(code)
        self._visit_globals(function.__globals__, loaded, line, depth)
        self._visit_modules(function.__globals__, loaded, names, line, depth)

    def _visit_modules(
        self, variables: dict[str, Any], loaded: Iterable[str], names: frozenset[str], line: str, depth: int
    ) -> None:
        """Visit what code uses of the user's modules, and of the modules in them."""
        if depth > _DEEPEST:
            return
        for name in loaded:
            module = variables.get(name, sys.modules.get(name))
            file = getattr(module, "__file__", None)
            if isinstance(module, ModuleType) and file is not None and is_users_file(file):
                self._visit_globals(vars(module), names, line, depth)
                if vars(module) is not variables:
                    self._visit_modules(vars(module), names, names, line, depth + 1)

    def _visit_globals(self, variables: dict[str, Any], names: Iterable[str], line: str, depth: int) -> None:
        file, module = variables.get("__file__"), str(variables.get("__name__"))
        path = Path(file).name if module == "__main__" and file else module
        used = self._globals.get(id(variables))
        if used is None:
            used = self._globals[id(variables)] = {}
            self._see(variables)
            self._add(owner_of_globals(path, line, variables, used), depth)
        new = dict.fromkeys(n for n in sorted(names) if n not in used and not n.startswith("__"))
        used.update(new)
        read = owner_of_globals(path, line, variables, new).read
        self._cache.attributes(variables, read)
        self._visit_all(read(), path, depth)

    def _add_noted(self, owner: Owner, depth: int) -> None:
        self._cache.attributes(owner, owner.read)
        self._add(owner, depth)

    def _add(self, owner: Owner, depth: int) -> None:
        path = self._unused(owner.path)
        self.reached.owners.append(owner if path == owner.path else replace(owner, path=path))
        self._visit_all(owner.read(), path, depth, silent=owner.is_silent or owner.only_plain)

    def _unused(self, path: str) -> str:
        while path in self._paths:
            path += "'"
        self._paths.add(path)
        return path

    def _visit_all(self, values: Mapping[str, Any], path: str, depth: int, *, silent: bool = False) -> None:
        for name, value in values.items():
            if type(value) not in _PLAIN:
                self.visit(value, f"{path}.{name}", depth + 1, silent=silent)

    def _see(self, value: Any) -> None:
        self._seen[id(value)] = value


# What the walk reads of an object, a class and a function.


def _parts_of_object(value: Any) -> dict[str, Any]:
    return {"__mro__": type(value).__mro__} | all_attributes(value)


def _parts_of_class(kind: type) -> dict[str, Any]:
    return {"__mro__": kind.__mro__} | dict(vars(kind))


def _parts_of_function(function: Any) -> dict[str, Any]:
    names = ("__code__", "__closure__", "__defaults__", "__kwdefaults__")
    return {name: getattr(function, name) for name in names} | vars(function)
