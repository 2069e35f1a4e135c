"""Hooks into functions of Python, Keras and TensorFlow that users of these functions do not notice.

    def apply(call):                       # a handler
        note(call.arguments["self"])       # before the function runs
        yield
        note(call.result)                  # after it; an exception of the function is raised at the `yield`

    undo = add_hook(keras.Optimizer, "apply", apply)

The function stays the same object, so that `is`, `pickle`, `inspect` and AutoGraph find what they found
before. Its code gets a few more instructions (`hooked_code.py`), so that no traceback has a frame of ours.
A function without source, such as one in C, is replaced by one that calls it (`replacement.py`).
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import sys
import types
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from keras_repro.training.backends.hooked_code import EVENT, hooked_code, parameters
from keras_repro.training.backends.replacement import put_in_place, replacement_of

Undo = Callable[[], None]
"""A function that removes a hook and restores the former state."""


@dataclass
class Call:
    """One call of a hooked function.

    Attributes:
        arguments: the arguments by parameter, `self` included. Defaults are left out if the function passes
            on `*args, **kwargs`. What a handler changes before its `yield` is what the function gets.
        caller: the frame that calls the function, None if no Python code does.
        result: what the function has returned, after the `yield`.
    """

    arguments: dict[str, Any]
    caller: types.FrameType | None
    result: Any = None


Steps = Generator[None, None, None]
"""What a handler does before and after its `yield`."""

Handler = Callable[[Call], Steps | None]
"""A generator function that is run around each call, or a function that is called before it."""


def add_hook(owner: Any, name: str, handler: Handler) -> Undo:
    """Run a handler at each call of a function; return a function that ends it.

    The handler that was added last is the outermost. One that is there already is not added again.

    Args:
        owner: the class or module.
        name: the name of the function, or of a property whose setter is meant.
        handler: receives each `Call`.
    """
    hooks = _hooks_of(owner, name)
    if handler not in hooks.handlers:
        hooks.handlers = (handler, *hooks.handlers)

    def undo() -> None:
        hooks.handlers = tuple(h for h in hooks.handlers if h != handler)

    return undo


def hide_from_debuggers() -> None:
    """Run handlers inside an audit hook: Python traces and profiles nothing there, so a step leads past them.

    For a process that records a script, since an audit hook cannot be removed.
    """
    if _dispatch.audit is not sys.audit:
        sys.addaudithook(_on_audit_event)
        _dispatch.audit = sys.audit


class _Hooks:
    """The handlers of one function, and what happens at the start and at the end of each call.

    Args:
        function: the function or class, without hooks.

    Attributes:
        handlers: the handlers, the outermost first.
        replacement: what takes the function's place, None if its code is changed instead.
    """

    def __init__(self, function: Any) -> None:
        self.handlers: tuple[Handler, ...] = ()
        self.replacement: Any = None
        self._names: tuple[str, ...] = ()
        self._signature: inspect.Signature | None = None  # of a function that passes on `*args, **kwargs`
        code = None
        if type(function) is types.FunctionType:
            self._names = parameters(function.__code__)
            code = hooked_code(function, dispatch=_dispatch, hooks=self)
        if code is None or _passes_on(function):
            self._names = "args", "kwargs"
            with contextlib.suppress(ValueError, TypeError):  # some functions in C have none
                self._signature = inspect.signature(function)
        if code is None:
            self.replacement = replacement_of(function, dispatch=_dispatch, hooks=self)
        else:
            function.__code__ = code

    def begin(self, state: list[Any], caller: types.FrameType | None) -> None:
        """Run the handlers up to their `yield`.

        Args:
            state: contains the values of the parameters. In their place come what `_end` needs, and the
                values that the function gets.
            caller: the frame that calls the function.
        """
        values = state.pop()
        try:
            arguments, changed_values = self._bind(values)
        except TypeError:  # the function itself reports wrong arguments
            state += None, values
            return
        call = Call(arguments, caller)
        with contextlib.ExitStack() as stack:
            for handler in self.handlers:
                steps = handler(call)
                if steps is not None:
                    stack.enter_context(_as_context(steps))
            state += (call, stack.pop_all()), changed_values()

    def _bind(self, values: tuple[Any, ...]) -> tuple[dict[str, Any], Callable[[], tuple[Any, ...]]]:
        """Return the arguments by parameter, and a function that returns their values as they are then."""
        if self._signature is None:
            arguments = dict(zip(self._names, values, strict=True))
            return arguments, lambda: tuple(arguments.values())
        args, kwargs = values
        bound = self._signature.bind(*args, **kwargs)
        return bound.arguments, lambda: (bound.args, bound.kwargs)


def _passes_on(function: types.FunctionType) -> bool:
    """Return whether a function takes `*args, **kwargs` for another one, whose signature it shows."""
    code = function.__code__
    takes_any = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
    named = code.co_argcount + code.co_kwonlyargcount
    return hasattr(function, "__wrapped__") and not named and code.co_flags & takes_any == takes_any


@contextlib.contextmanager
def _as_context(steps: Steps) -> Steps:
    yield from steps


def _end(state: list[Any], *result: Any) -> None:
    """Run the handlers from their `yield` on, once for each call.

    Args:
        state: of the call.
        result: what the function has returned; omitted in an `except` clause.
    """
    begun = state.pop() if state else None
    if begun is None:
        return
    call, stack = begun
    if result:
        (call.result,) = result
        stack.close()
        return
    kind, error, trace = sys.exc_info()
    try:
        stack.__exit__(kind, error, trace)
    finally:
        if error is not None:  # the frames of the handlers go too
            error.__traceback__ = _without_ours(trace)


def _without_ours(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Remove our frames from a traceback, unless it is our code that has failed."""
    entries = []
    while trace is not None:
        entries.append(trace)
        trace = trace.tb_next
    others = [e for e in entries if not e.tb_frame.f_globals.get("__name__", "").startswith(_OUR_MODULES)]
    if others and others[-1] is entries[-1]:
        for entry, below in itertools.pairwise(others):
            entry.tb_next = below
    return entries[0]


def _pass_on(caller: types.FrameType, state: list[Any], hooks: _Hooks | None, *result: Any) -> None:
    if hooks is None:
        _end(state, *result)
    else:
        hooks.begin(state, caller.f_back)


def _on_audit_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event == EVENT:
        _pass_on(sys._getframe(1), *arguments)


def _audit(event: str, *arguments: Any) -> None:
    """Do what `sys.audit` would do with `_on_audit_event`."""
    _pass_on(sys._getframe(1), *arguments)


_OUR_MODULES = f"{__name__.partition('.')[0]}."
# What hooked code calls.
_dispatch: Any = types.SimpleNamespace(audit=_audit)
# By the function, and by what has taken its place.
_known: dict[Any, _Hooks] = {}


def _hooks_of(owner: Any, name: str) -> _Hooks:
    found = inspect.getattr_static(owner, name)
    function = getattr(found, "fset", None) or getattr(found, "__func__", found)
    hooks = _known.get(function)
    if hooks is None:
        hooks = _known[function] = _Hooks(function)
    if hooks.replacement not in (None, function):
        _known[hooks.replacement] = hooks
        put_in_place(owner, name, hooks.replacement)
    return hooks
