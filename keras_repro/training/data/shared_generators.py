"""Find the random generators that the workers of a `PyDataset` share. Nothing is drawn, and no batch is made.

    shared_generators(dataset)      # ['self.rng'], or [] with one worker

The threads of several workers draw from a shared generator in an order that changes from run to run;
processes draw from copies of it, for batches that change from run to run.
"""

from __future__ import annotations

import inspect
import random
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from keras_repro.source_code.ownership import is_users_class, is_users_file
from keras_repro.source_code.users_code import attribute_chains
from keras_repro.training.backends.active import backend
from keras_repro.training.state.value_kinds import ValueClassifier

_MOST_FUNCTIONS = 100


def worker_count(dataset: Any) -> int:
    """Return the number of workers of a `PyDataset`; 1 if it is not known."""
    number = getattr(dataset, "workers", 1)
    return number if isinstance(number, int) else 1


def shared_generators(dataset: Any) -> list[str]:
    """Return the generators from which several workers draw, as `__getitem__` and what it calls name them."""
    if worker_count(dataset) < 2:
        return []
    found: dict[str, None] = {}
    seen: set[tuple[Any, int]] = set()
    waiting: list[tuple[Any, Any]] = [(type(dataset).__getitem__, dataset)]  # each with its `self`
    while waiting and len(seen) < _MOST_FUNCTIONS:
        function, owner = waiting.pop(0)
        code = getattr(inspect.unwrap(function), "__code__", None)
        if code is None or (code, id(owner)) in seen or not is_users_file(code.co_filename):
            continue
        seen.add((code, id(owner)))
        for names in attribute_chains(code):
            name, value = _follow(names, function, owner)
            if _draws(value):
                found[name] = None
            elif isinstance(value, MethodType):
                waiting.append((value.__func__, value.__self__))
            elif isinstance(value, FunctionType):
                waiting.append((value, None))
            elif is_users_class(type(value)) and callable(value):
                waiting.append((type(value).__call__, value))
    return list(found)


def _follow(names: tuple[str, ...], function: Any, owner: Any) -> tuple[str, Any]:
    """Return name and value of `a.b.c` in a function, up to a generator; None if it is not known."""
    code = function.__code__
    first, *rest = names
    cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
    if owner is not None and code.co_varnames[:1] == (first,):
        value = owner
    elif first in cells:
        try:
            value = cells[first].cell_contents
        except ValueError:  # not assigned yet
            return first, None
    elif first not in code.co_varnames:
        value = function.__globals__.get(first)
    else:
        return first, None
    path = first
    for name in rest:
        if _draws(value):
            break
        value, path = _attribute(value, name), f"{path}.{name}"
    return path, value


def _attribute(owner: Any, name: str) -> Any:
    """Return an attribute without running code of the user's, such as a property."""
    if isinstance(owner, ModuleType):
        return vars(owner).get(name)
    value = inspect.getattr_static(owner, name, None)
    if isinstance(value, FunctionType) and name not in getattr(owner, "__dict__", {}):
        return MethodType(value, owner)
    return value.__func__ if isinstance(value, staticmethod) else value


def _draws(value: Any) -> bool:
    """Return whether a value is a generator, or a method of one, such as `np.random.normal`."""
    if inspect.isbuiltin(value) or isinstance(value, MethodType):
        value = value.__self__
    of_python = isinstance(value, np.random.Generator | np.random.RandomState | random.Random)
    return (
        of_python or ValueClassifier()(value) == "generator" or bool(backend.variables.seed_generators(value))
    )
