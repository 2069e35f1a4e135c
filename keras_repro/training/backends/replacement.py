"""Functions and classes that take the place of those whose code cannot be changed, such as those in C.

They have the name, the documentation and the signature of what they replace, and can be pickled. A function
is replaced in the module that defines it too. A class is not, since its instances may be pickled by its name.

Private name checked with TensorFlow 2.21: `autograph_info__`.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from keras_repro.training.backends.hooked_code import EVENT


def replacement_of(function: Any, *, dispatch: Any, hooks: Any) -> Any:
    """Return a function, or for a class a class, that calls another one and its hooks.

    Args:
        function: the function or class.
        dispatch, hooks: as for `hooked_code`.
    """

    @functools.wraps(function)
    def call_function(*args: Any, **kwargs: Any) -> Any:
        state: list[Any] = [(args, kwargs)]
        dispatch.audit(EVENT, state, hooks)
        args, kwargs = state.pop()
        try:
            result = function(*args, **kwargs)
        except BaseException:
            dispatch.audit(EVENT, state, None)
            raise
        dispatch.audit(EVENT, state, None, result)
        return result

    call_function.autograph_info__ = {}  # type: ignore[attr-defined]  # AutoGraph leaves it as it is
    return _class_around(function, call_function) if isinstance(function, type) else call_function


def put_in_place(owner: Any, name: str, replacement: Any) -> None:
    """Put a replacement where a function is found: into its owner, and into the module that defines it."""
    found = inspect.getattr_static(owner, name)
    for kind in getattr(owner, "__mro__", (owner,)):
        if vars(kind).get(name) is found:
            setattr(kind, name, _as(found, replacement))
    if isinstance(found, type):
        replacement.__module__ = owner.__name__
        return
    module = sys.modules.get(getattr(found, "__module__", None) or "")
    if getattr(module, name, None) is found:
        setattr(module, name, replacement)


def _as(found: Any, replacement: Any) -> Any:
    """Return a replacement in the form in which a class holds a function."""
    if isinstance(found, property):
        return found.setter(replacement)
    return type(found)(replacement) if isinstance(found, staticmethod | classmethod) else replacement


def _class_around(original: type, construct: Callable[..., Any]) -> type:
    """Return a class that makes instances of another one, and takes its instances for its own."""

    class Kind(type(original)):  # type: ignore[misc]
        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            return construct(*args, **kwargs) if cls is made else super().__call__(*args, **kwargs)

        def __instancecheck__(cls, instance: Any) -> bool:
            return isinstance(instance, original) if cls is made else super().__instancecheck__(instance)

        def __subclasscheck__(cls, kind: type) -> bool:
            return issubclass(kind, original) if cls is made else super().__subclasscheck__(kind)

    names = {"__qualname__": original.__qualname__, "__doc__": original.__doc__}
    made: type = Kind(original.__name__, (original,), names)
    with contextlib.suppress(ValueError):  # some classes in C have none
        made.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return made
