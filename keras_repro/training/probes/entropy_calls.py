"""Record which lines of the user's code ask the system for randomness.

For a diagnosis: `default_rng(seed)` takes the system's entropy if `seed` is None, as `os.urandom` does.
Other generators have a state to compare, and some ask for entropy without using it: `RandomState(7)` does.
"""

from __future__ import annotations

import inspect
import os
import random
import sys
import tempfile
import threading
import types
from collections import Counter
from collections.abc import Callable
from typing import Any

import wrapt
import xxhash

from keras_repro.source_code.call_site import frames_from, site_of_frame
from keras_repro.source_code.ownership import is_users_file
from keras_repro.storage.trace_file import EntropyEvent
from keras_repro.utils.source_line import SourceLine

_MAX_PER_LINE = 16
_MAX_DEPTH = 3  # of objects in a user's object

_SEED_PARAMETERS = ("seed", "random_state", "rng", "random_seed")
_TEMPORARY_FILES = tempfile.__file__


class EntropyCalls:
    """Report each call for the system's randomness by a line of the user's code.

    Args:
        emit: receives an event for each call.
    """

    def __init__(self, emit: Callable[[EntropyEvent], None]) -> None:
        self._emit = emit
        self._in_numpy = threading.local()
        self._counts: Counter[tuple[str, int]] = Counter()

    def watch(self) -> None:
        """Wrap `os.urandom`, which Python's own modules call, and what makes generators without a seed."""
        wrapt.wrap_function_wrapper(os, "urandom", self._ask)
        wrapt.wrap_function_wrapper(random, "_urandom", self._ask)  # used by SystemRandom, and so by secrets
        wrapt.wrap_function_wrapper(random.Random, "__init__", self._make_random)
        wrapt.register_post_import_hook(self._watch_numpy, "numpy.random")
        wrapt.register_post_import_hook(self._exclude_numpy, "numpy.random.bit_generator")

    def _exclude_numpy(self, module: Any) -> None:
        def randbits(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            self._in_numpy.here = True
            try:
                return wrapped(*args, **kwargs)
            finally:
                self._in_numpy.here = False

        if hasattr(module, "randbits"):
            module.randbits = wrapt.FunctionWrapper(module.randbits, randbits)

    def _watch_numpy(self, module: Any) -> None:
        def default_rng(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            generator = wrapped(*args, **kwargs)
            if (args[0] if args else kwargs.get("seed")) is None:
                self._report(repr(generator.bit_generator.state), sys._getframe(1))
            return generator

        def random_state(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            generator = wrapped(*args, **kwargs)
            if (args[0] if args else kwargs.get("seed")) is None:
                self._report(repr(generator.get_state(legacy=False)["state"]), sys._getframe(1))
            return generator

        wrapt.wrap_function_wrapper(module, "default_rng", default_rng)
        wrapt.wrap_function_wrapper(module, "RandomState", random_state)

    def _make_random(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> None:
        wrapped(*args, **kwargs)
        if not args and not kwargs and type(instance) is random.Random:
            self._report(repr(instance.getstate()), sys._getframe(1))

    def _ask(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        value = wrapped(*args, **kwargs)
        if not getattr(self._in_numpy, "here", False):
            self._report(repr(value), sys._getframe(1))
        return value

    def _report(self, value: str, frame: Any) -> None:
        line = _asking_line(frame)
        if line is not None and self._counts[line.file, line.line] < _MAX_PER_LINE:
            self._counts[line.file, line.line] += 1
            call, parameter, holder = _seed_parameter(frame)
            digest = xxhash.xxh3_64_hexdigest(value.encode())
            event = EntropyEvent(source=line, digest=digest, call=call, parameter=parameter, holder=holder)
            self._emit(event)


def _asking_line(frame: Any) -> SourceLine | None:
    """Return the innermost user's line at or above a frame.

    None while a module is imported, and for the name of a temporary file.
    """
    for caller in frames_from(frame):
        file = caller.f_code.co_filename
        if file.startswith("<frozen importlib") or file == _TEMPORARY_FILES:
            return None
        if is_users_file(file):
            return site_of_frame(caller)
    return None


def _seed_parameter(frame: Any) -> tuple[str, str, str]:
    """Return the call that made a generator, its parameter for a seed, and the name of its holder.

    Each is empty if there is none. The holder is an object of the user's that was made earlier.
    """
    call = parameter = ""
    holders: list[Any] = []
    for caller in frames_from(frame):
        code = caller.f_code
        if is_users_file(code.co_filename):
            break
        owner = caller.f_locals.get("self")
        holders += [] if owner is None else [owner]
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        seed = next((name for name in _SEED_PARAMETERS if name in names), "")
        if seed:  # the outermost call is the user's own
            parameter = seed
            call = code.co_name if owner is None or code.co_name != "__init__" else type(owner).__name__
    holder = _holder(frame, holders[0]) if holders and not call else ""
    if holder:
        made = ((type(h).__name__, name) for h in holders for name in _parameters_for_seeds(type(h)))
        call, parameter = next(made, ("", ""))
    return call, parameter, holder


def _holder(frame: Any, generators_owner: Any) -> str:
    """Return the name by which the outermost line of the user's knows the object that holds a generator."""
    found = ""
    for caller in frames_from(frame):
        code = caller.f_code
        if is_users_file(code.co_filename):
            values = {**caller.f_globals, **caller.f_locals}
            names = (*code.co_names, *code.co_varnames)
            found = next((n for n in names if n in values and _holds(values[n], generators_owner)), found)
    return found


def _holds(value: Any, wanted: Any, depth: int = 0) -> bool:
    if value is wanted:
        return True
    attributes = getattr(value, "__dict__", None)
    if depth == _MAX_DEPTH or type(attributes) is not dict or isinstance(value, type | types.ModuleType):
        return False
    return any(_holds(inner, wanted, depth + 1) for inner in list(attributes.values()))


def _parameters_for_seeds(kind: type) -> list[str]:
    constructor: Any = kind.__dict__.get("__init__")
    code = None if constructor is None else getattr(inspect.unwrap(constructor), "__code__", None)
    names = () if code is None else code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return [name for name in _SEED_PARAMETERS if name in names]
