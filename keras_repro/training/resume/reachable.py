"""Find where the code of a training can keep values: attributes, closures, globals, defaults, classes.

    for owner in reach({"model": model, "callback Warmup": callback}, ValueClassifier()).owners:
        owner.path, owner.read()        # 'model.layers.0', {'rate': 0.5, ...}

The walk follows attributes and containers, the functions of the user's
classes, functions that are values, and what these functions use. It calls no method of the user's.
"""

from __future__ import annotations

import enum
import functools
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any
from weakref import ProxyTypes

import keras
import numpy as np

from keras_repro.source_code.ownership import is_users_class, is_users_file
from keras_repro.source_code.users_code import (
    functions_of,
    line_of_class,
    line_of_code,
    names_used,
)
from keras_repro.training.backends.active import backend
from keras_repro.training.state.value_kinds import (
    ValueClassifier,
    all_attributes,
    is_of_users,
    items_of,
    own_method,
    sort_key,
)

_DEEPEST = 100
_CONTAINERS = ("mapping", "sequence", "set")
_OBJECTS = ("optimizer", "metric", "graph", "object")
_PLAIN = {int, float, bool, str, bytes, type(None), np.ndarray}


@dataclass(frozen=True)
class Owner:
    """Something that holds values by name.

    Attributes:
        path: its name, equal in every process that runs the same program.
        line: where its code is, as `file:line`; empty if unknown.
        read: returns its values by name.
        write: sets a value by its name.
        remove: removes a value by its name.
        is_silent: whether its own values do not count, only what they lead to.
        only_plain: whether values count only if they are plain; Keras sets others itself.
    """

    path: str
    line: str
    read: Callable[[], Mapping[str, Any]] = field(repr=False)
    write: Callable[[str, Any], None] = field(repr=False)
    remove: Callable[[str], None] = field(repr=False)
    is_silent: bool = False
    only_plain: bool = False


@dataclass(frozen=True)
class Reached:
    """What can be reached.

    Attributes:
        owners: all that holds values.
        variables: variables and generators with a variable, by their paths.
        tables: lookup tables.
    """

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
        self.reached = Reached()
        self._silent = silent
        self._kind_of = kind_of
        self._seen: dict[Any, Any] = {}  # keeps references: ids are reused
        self._paths: set[str] = set()
        self._globals: dict[int, dict[str, None]] = {}  # by the id of a module's variables: those in use

    def visit(self, value: Any, path: str, depth: int = 0, *, silent: bool = False) -> None:
        """Add a value and all that it leads to; a container without its items if `silent`."""
        if depth > _DEEPEST or id(value) in self._seen or type(value) in ProxyTypes:
            return
        if isinstance(value, MethodType):
            self.visit(value.__self__, path, depth + 1)
            self.visit(value.__func__, path, depth + 1)
        elif isinstance(value, functools.partial):
            self._see(value)
            for part in (value.func, *value.args, *value.keywords.values()):
                self.visit(part, path, depth + 1)
        elif isinstance(value, FunctionType):
            self._visit_function(value, depth)
        elif isinstance(value, type):
            self._visit_class(value, depth)
        elif isinstance(value, ModuleType | enum.Enum):
            return
        elif hasattr(type(value), "python_function"):  # a traced function
            self._see(value)
            self.visit(value.python_function, path, depth + 1)
        else:
            self._visit_value(value, path, depth, silent)

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
            or isinstance(value, keras.callbacks.Callback)
            or backend.variables.has_settings(value)
        ):
            self._see(value)
            if kind == "graph":
                layers = {str(i): layer for i, layer in enumerate(value.layers)}
                self._visit_all(layers, f"{path}.layers", depth)
            own = is_of_users(value)
            names = backend.variables.own_attributes(type(value), of_users=own)
            read, write = functools.partial(_attributes_of, value, names), functools.partial(_set, value)
            owner = Owner(path, line_of_class(type(value)), read, write, functools.partial(delattr, value))
            self._add(replace(owner, is_silent=id(value) in self._silent, only_plain=not own), depth)
            others = {n: v for n, v in all_attributes(value).items() if not n.startswith("_self_")}
            self._visit_all(others, path, depth, silent=True)
            self._visit_class(type(value), depth)

    def _visit_items(self, value: Any, kind: str, path: str, depth: int, silent: bool) -> None:
        base = next(b for b in (dict, list, tuple, deque, set, frozenset) if isinstance(value, b))
        walk = own_method(value, base, "values" if kind == "mapping" else "__iter__")
        items = items_of(walk)
        if set(map(type, items)) <= _PLAIN:
            return
        if kind == "set":
            self._visit_all({str(i): v for i, v in enumerate(sorted(items, key=sort_key))}, path, depth)
            return
        keys: dict[str, Any] = {}

        def read() -> dict[str, Any]:
            pairs = own_method(value, base, "items")() if kind == "mapping" else enumerate(items_of(walk))
            named = {str(key): (key, item) for key, item in pairs}
            keys.update({name: key for name, (key, _) in named.items()})
            return {name: item for name, (_, item) in named.items()}

        def write(name: str, item: Any) -> None:
            value[keys[name]] = item

        def remove(name: str) -> None:
            del value[keys[name]]

        self._add(Owner(path, "", read, write, remove, is_silent=silent), depth)

    def _visit_class(self, kind: type, depth: int) -> None:
        for base in kind.__mro__:
            if id(base) in self._seen or not is_users_class(base):
                continue
            self._see(base)

            def read(base: type = base) -> dict[str, Any]:
                return {n: v for n, v in vars(base).items() if not _is_of_class(n, v)}

            write, remove = functools.partial(setattr, base), functools.partial(delattr, base)
            self._add(Owner(base.__qualname__, line_of_class(base), read, write, remove), depth)
            for function in functions_of(base):
                self._visit_function(function, depth)

    def _visit_function(self, function: Any, depth: int) -> None:
        function = getattr(function, "__wrapped__", None) or function
        code = getattr(function, "__code__", None)
        cells = getattr(function, "__closure__", None) or ()
        key = (id(code), *map(id, cells))
        if code is None or key in self._seen or not is_users_file(code.co_filename):
            return
        self._seen[key] = function
        path, line = function.__qualname__, line_of_code(code)
        open_cells = {
            name: cell
            for name, cell in zip(code.co_freevars, cells, strict=True)
            if id(cell) not in self._seen
        }
        for cell in open_cells.values():
            self._see(cell)
        if open_cells:
            self._add(
                Owner(
                    path,
                    line,
                    lambda: {n: c.cell_contents for n, c in open_cells.items() if _is_bound(c)},
                    lambda name, value: setattr(open_cells[name], "cell_contents", value),
                    lambda name: delattr(open_cells[name], "cell_contents"),
                ),
                depth,
            )
        if function.__defaults__ or function.__kwdefaults__:
            self._add_defaults(function, path, line, depth)
        if _attributes_of_function(function):
            write, remove = functools.partial(setattr, function), functools.partial(delattr, function)
            self._add(
                Owner(path, line, functools.partial(_attributes_of_function, function), write, remove), depth
            )
        loaded, names = names_used(code)
        self._visit_globals(function.__globals__, loaded, line, depth)
        for name in loaded:
            module = function.__globals__.get(name)
            file = getattr(module, "__file__", None)
            if isinstance(module, ModuleType) and file is not None and is_users_file(file):
                self._visit_globals(vars(module), names, line, depth)

    def _add_defaults(self, function: Any, path: str, line: str, depth: int) -> None:
        def read() -> dict[str, Any]:
            numbered = {str(i): v for i, v in enumerate(function.__defaults__ or ())}
            return numbered | (function.__kwdefaults__ or {})

        def write(name: str, value: Any) -> None:
            if name in (function.__kwdefaults__ or {}):
                function.__kwdefaults__[name] = value
            else:
                defaults = list(function.__defaults__)
                defaults[int(name)] = value
                function.__defaults__ = tuple(defaults)

        self._add(Owner(f"{path}.defaults", line, read, write, lambda name: None), depth)

    def _visit_globals(self, variables: dict[str, Any], names: frozenset[str], line: str, depth: int) -> None:
        file, module = variables.get("__file__"), str(variables.get("__name__"))
        path = Path(file).name if module == "__main__" and file else module
        used = self._globals.get(id(variables))
        if used is None:
            used = self._globals[id(variables)] = {}
            self._see(variables)
            self._add(
                Owner(
                    path,
                    line,
                    lambda: {n: variables[n] for n in used if n in variables},
                    variables.__setitem__,
                    variables.__delitem__,
                ),
                depth,
            )
        new = [n for n in sorted(names) if n not in used and not n.startswith("__")]
        used.update(dict.fromkeys(new))
        self._visit_all({n: variables[n] for n in new if n in variables}, path, depth)

    def _add(self, owner: Owner, depth: int) -> None:
        owner = replace(owner, path=self._unused(owner.path))
        self.reached.owners.append(owner)
        self._visit_all(owner.read(), owner.path, depth, silent=owner.is_silent or owner.only_plain)

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


def _attributes_of(value: Any, is_own: Callable[[str], bool]) -> dict[str, Any]:
    found = {n: v for n, v in all_attributes(value).items() if is_own(n)}
    if isinstance(value, keras.Layer):
        found["trainable"] = value.trainable
    return found


def _is_of_class(name: str, value: Any) -> bool:
    """Return whether a name of a class is no attribute that a program changes."""
    special = FunctionType | staticmethod | classmethod | property | type
    return name.startswith("__") or isinstance(value, special) or hasattr(type(value), "__get__")


def _attributes_of_function(function: Any) -> dict[str, Any]:
    # TensorFlow adds some that end in underscores.
    return {n: v for n, v in vars(function).items() if not n.endswith("__")}


def _set(owner: Any, name: str, value: Any) -> None:
    try:
        setattr(owner, name, value)
    except AttributeError:  # of a frozen dataclass
        object.__setattr__(owner, name, value)


def _is_bound(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
