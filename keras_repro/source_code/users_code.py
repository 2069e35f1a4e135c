"""What compiled code of the user's uses, and where it is.

>>> loaded, names = names_used((lambda: settings.scale).__code__)
>>> sorted(loaded), sorted(names)
(['settings'], ['scale', 'settings'])
"""

from __future__ import annotations

import dis
import functools
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

from keras_repro.source_code.ownership import is_users_file


@functools.lru_cache(maxsize=4096)
def names_used(code: CodeType) -> tuple[frozenset[str], frozenset[str]]:
    """Return the global names and modules that a function and those within it use, and all names in them."""
    globally = ("LOAD_GLOBAL", "STORE_GLOBAL", "LOAD_NAME", "IMPORT_NAME")
    loaded = frozenset(str(i.argval) for i in dis.get_instructions(code) if i.opname in globally)
    names = frozenset(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            inner = names_used(constant)
            loaded, names = loaded | inner[0], names | inner[1]
    return loaded, names


def attribute_chains(code: CodeType) -> list[tuple[str, ...]]:
    """Return the names and their attributes that a function, and those within it, read, each once.

    >>> attribute_chains((lambda self: self.rng.normal(size=np.shape(self.x))).__code__)
    [('self', 'rng', 'normal'), ('np', 'shape'), ('self', 'x')]
    """
    chains: list[list[str]] = []
    is_open = False
    for instruction in dis.get_instructions(code):
        name, argument = instruction.opname, instruction.argval
        if name in ("LOAD_ATTR", "LOAD_METHOD") and is_open:
            chains[-1].append(str(argument))
        elif name.startswith(("LOAD_FAST", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF")):
            names = argument if isinstance(argument, tuple) else (argument,)  # some load two
            chains += [[str(each)] for each in names]
            is_open = True
        elif name not in ("CACHE", "PUSH_NULL"):
            is_open = False
    found = [tuple(chain) for chain in chains]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found += attribute_chains(constant)
    return list(dict.fromkeys(found))


def functions_of(kind: type) -> Iterator[Any]:
    """Yield the functions of a class: methods, static methods, and those of its properties."""
    for member in vars(kind).values():
        if isinstance(member, staticmethod | classmethod):
            yield member.__func__
        elif isinstance(member, property):
            yield from filter(None, (member.fget, member.fset))
        elif isinstance(member, functools.cached_property | functools.partialmethod):
            yield member.func
        elif isinstance(member, FunctionType) or hasattr(member, "__wrapped__"):
            yield member


def line_of_code(code: CodeType) -> str:
    """Return where code begins, as `file:line`."""
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}"


def line_of_class(kind: type) -> str:
    """Return where the user's class is, as `file:line` of its first function."""
    for function in functions_of(kind):
        code = getattr(function, "__code__", None)
        if code is not None and is_users_file(code.co_filename):
            return line_of_code(code)
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return "" if file is None or not is_users_file(file) else Path(file).name
