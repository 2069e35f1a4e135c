"""`Owner`: something in which the code of a training keeps values by name."""

from __future__ import annotations

import argparse
import threading
from collections import ChainMap, UserDict, UserList
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType, SimpleNamespace
from typing import Any

import keras

from keras_repro.source_code.users_code import line_of_class
from keras_repro.training.backends.active import backend
from keras_repro.training.state.value_kinds import all_attributes, is_of_users, items_of, own_method

# Classes of the standard library whose objects hold what a program puts into them.
HOLDERS = (SimpleNamespace, argparse.Namespace, UserDict, UserList, ChainMap, threading.local)


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
    read: Callable[[], dict[str, Any]] = field(repr=False)
    write: Callable[[str, Any], None] = field(repr=False)
    remove: Callable[[str], None] = field(repr=False)
    is_silent: bool = False
    only_plain: bool = False


def owner_of_attributes(path: str, value: Any, *, is_silent: bool) -> Owner:
    """Return the owner of an object's attributes; of an object of Keras, of its settings."""
    own = is_of_users(value) or type(value) in HOLDERS
    is_own = backend.variables.own_attributes(type(value), of_users=own)

    def read() -> dict[str, Any]:
        found = {n: v for n, v in all_attributes(value).items() if is_own(n)}
        if isinstance(value, keras.Layer):
            found["trainable"] = value.trainable
        return found

    def write(name: str, new: Any) -> None:
        try:
            setattr(value, name, new)
        except AttributeError:  # of a frozen dataclass
            object.__setattr__(value, name, new)

    line, remove = line_of_class(type(value)), partial(delattr, value)
    return Owner(path, line, read, write, remove, is_silent=is_silent, only_plain=not own)


def owner_of_items(path: str, value: Any, base: type, *, is_silent: bool) -> Owner:
    """Return the owner of the items of a dict or a sequence.

    Args:
        path: its name.
        value: the container.
        base: the built-in class that it is derived from.
        is_silent: as the attribute of the owner.
    """
    keys: dict[str, Any] = {}

    def read() -> dict[str, Any]:
        if base is dict:
            pairs: Iterable[Any] = own_method(value, base, "items")()
        else:
            pairs = enumerate(items_of(own_method(value, base, "__iter__")))
        named = {str(key): (key, item) for key, item in pairs}
        keys.update({name: key for name, (key, _) in named.items()})
        return {name: item for name, (_, item) in named.items()}

    def write(name: str, item: Any) -> None:
        value[keys[name]] = item

    def remove(name: str) -> None:
        del value[keys[name]]

    return Owner(path, "", read, write, remove, is_silent=is_silent)


def owner_of_class_attributes(path: str, kind: type) -> Owner:
    """Return the owner of the attributes of a class that are no methods."""

    def read() -> dict[str, Any]:
        return {n: v for n, v in vars(kind).items() if not _is_of_class(n, v)}

    return Owner(path, line_of_class(kind), read, partial(setattr, kind), partial(delattr, kind))


def owner_of_cells(path: str, line: str, cells: Mapping[str, Any]) -> Owner:
    """Return the owner of the variables that a function uses and a function around it has."""
    return Owner(
        path,
        line,
        lambda: {n: c.cell_contents for n, c in cells.items() if _is_bound(c)},
        lambda name, value: setattr(cells[name], "cell_contents", value),
        lambda name: delattr(cells[name], "cell_contents"),
    )


def owner_of_defaults(path: str, line: str, function: Any) -> Owner:
    """Return the owner of the default values of a function's parameters."""

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

    return Owner(path, line, read, write, lambda name: None)


def owner_of_function_attributes(path: str, line: str, function: Any) -> Owner:
    """Return the owner of the attributes of a function."""

    def read() -> dict[str, Any]:
        # TensorFlow adds some that end in underscores.
        return {n: v for n, v in vars(function).items() if not n.endswith("__")}

    return Owner(path, line, read, partial(setattr, function), partial(delattr, function))


def owner_of_arguments(path: str, function: Any) -> Owner:
    """Return the owner of the arguments of a `functools.partial`."""

    def read() -> dict[str, Any]:
        return {str(i): v for i, v in enumerate(function.args)} | function.keywords

    def write(name: str, value: Any) -> None:
        if name.isdecimal():
            raise TypeError("the positional arguments are a tuple")
        function.keywords[name] = value

    return Owner(path, "", read, write, function.keywords.__delitem__)


def owner_of_globals(path: str, line: str, variables: dict[str, Any], names: Mapping[str, Any]) -> Owner:
    """Return the owner of some variables of a module.

    Args:
        path: its name.
        line: of the first code that uses one.
        variables: of the module.
        names: those that count; more may be added.
    """

    def read() -> dict[str, Any]:
        return {n: variables[n] for n in names if n in variables}

    return Owner(path, line, read, variables.__setitem__, variables.__delitem__)


def _is_of_class(name: str, value: Any) -> bool:
    """Return whether a name of a class is no attribute that a program changes."""
    special = FunctionType | staticmethod | classmethod | property | type
    return name.startswith("__") or isinstance(value, special) or hasattr(type(value), "__get__")


def _is_bound(cell: Any) -> bool:
    try:
        return cell.cell_contents is not cell
    except ValueError:
        return False
