"""Record which lines of the user's code ask the system for randomness.

For a diagnosis: `default_rng(seed)` takes the system's entropy if `seed` is None, as `os.urandom` does.
Other generators have a state to compare, and some ask for entropy without using it: `RandomState(7)` does.
"""

from __future__ import annotations

import os
import random
import sys
import threading
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
        """Wrap `os.urandom`, which Python's own modules call, and NumPy's `default_rng`."""
        wrapt.wrap_function_wrapper(os, "urandom", self._ask)
        wrapt.wrap_function_wrapper(random, "_urandom", self._ask)  # used by SystemRandom, and so by secrets
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

        wrapt.wrap_function_wrapper(module, "default_rng", default_rng)

    def _ask(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        value = wrapped(*args, **kwargs)
        if not getattr(self._in_numpy, "here", False):
            self._report(repr(value), sys._getframe(1))
        return value

    def _report(self, value: str, frame: Any) -> None:
        line = _asking_line(frame)
        if line is not None and self._counts[line.file, line.line] < _MAX_PER_LINE:
            self._counts[line.file, line.line] += 1
            self._emit(EntropyEvent(source=line, digest=xxhash.xxh3_64_hexdigest(value.encode())))


def _asking_line(frame: Any) -> SourceLine | None:
    """Return the innermost user's line at or above a frame; None while a module is imported."""
    for caller in frames_from(frame):
        file = caller.f_code.co_filename
        if file.startswith("<frozen importlib"):
            return None
        if is_users_file(file):
            return site_of_frame(caller)
    return None
