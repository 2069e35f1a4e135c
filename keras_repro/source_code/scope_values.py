"""What names in the user's code stand for while it runs, read without running more of it.

No property and no `__getattr__` is called.

>>> from types import SimpleNamespace
>>> static_attribute(SimpleNamespace(rate=0.1), "rate", None)
0.1
"""

from __future__ import annotations

import ast
import builtins
import inspect
import sys
import types
from collections.abc import Iterator, Sequence
from types import FrameType, ModuleType
from typing import Any

MISSING = object()
"""What is returned for a name that is not defined."""

_MAX_MODULES = 3  # of modules in a module


def value_of(chain: Sequence[str], scope: FrameType) -> Any:
    """Return the value of a name, or of attributes in the `__dict__` of objects; no property is called."""
    value = scope.f_locals.get(chain[0], scope.f_globals.get(chain[0], vars(builtins).get(chain[0], MISSING)))
    for name in chain[1:]:
        is_module = isinstance(value, ModuleType)
        value = vars(value).get(name, MISSING) if is_module else static_attribute(value, name, MISSING)
    return value


def resolved(node: ast.AST, scope: FrameType) -> Any:
    """Return the function or class that a name, perhaps of a module or class, refers to."""
    if isinstance(node, ast.Name):
        return value_of((node.id,), scope)
    if isinstance(node, ast.Attribute):
        owner = resolved(node.value, scope)
        if isinstance(owner, ModuleType):
            return vars(owner).get(node.attr, MISSING)
        if isinstance(owner, type):
            found = inspect.getattr_static(owner, node.attr, MISSING)
            return found.__func__ if isinstance(found, classmethod | staticmethod) else found
    return MISSING


def path_to(kind: type, scope: FrameType) -> str:
    """Return the shortest name of a class in the user's code, else from its package; empty if it has none."""
    names = {n: v for n, v in {**scope.f_globals, **scope.f_locals}.items() if n.isidentifier()}
    direct = next((name for name, value in names.items() if value is kind), "")
    top = str(kind.__module__).partition(".")[0]
    modules = [(name, value) for name, value in names.items() if isinstance(value, ModuleType)]
    level = [(name, module) for name, module in modules if module.__name__.partition(".")[0] == top]
    if not level and isinstance(sys.modules.get(top), ModuleType):
        level = [(top, sys.modules[top])]
    for _ in range(_MAX_MODULES if not direct else 0):
        found = sorted(f"{path}.{kind.__name__}" for path, m in level if vars(m).get(kind.__name__) is kind)
        if found:
            return found[0]
        level = list(_public_modules(level))
    return direct


def static_attribute(value: Any, name: str, default: Any) -> Any:
    """Return an attribute from the `__dict__` of an object or its class.

    Args:
        value: the object, or a class.
        name: the attribute's name, in its class's own code if it is private.
        default: what to return if there is none.
    """
    attributes = _attributes(value)
    if name in attributes:
        return attributes[name]
    kind = type(value)
    if issubclass(kind, type(sys)):
        return default
    for owner in value.__mro__ if kind is type else kind.__mro__:
        # Name mangling in the class's own code: `self.__rng` is `_Owner__rng`.
        private = name.startswith("__") and not name.endswith("__")
        mangled = f"_{owner.__name__.lstrip('_')}{name}" if private else name
        if mangled in attributes:
            return attributes[mangled]
        class_attribute = owner.__dict__.get(mangled, default)
        if type(class_attribute) is types.MemberDescriptorType:
            try:
                return class_attribute.__get__(value)
            except AttributeError:  # an empty slot
                return default
        if class_attribute is not default:
            return class_attribute
    return default


def _attributes(value: Any) -> dict[str, Any]:
    """Return the `__dict__` of an object itself, without calling code of its class."""
    if issubclass(type(value), type | type(sys)):
        return {}
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return attributes if type(attributes) is dict else {}


def _public_modules(level: Sequence[tuple[str, ModuleType]]) -> Iterator[tuple[str, ModuleType]]:
    """Yield the modules in modules that have no private name, with their paths."""
    for path, module in level:
        for name, value in list(vars(module).items()):
            if isinstance(value, ModuleType) and not name.startswith("_") and value.__name__ in sys.modules:
                yield f"{path}.{name}", value
