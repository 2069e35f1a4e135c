"""Which lines of the user's code ask the system for randomness, whatever the text of the line says.

For a diagnosis: `default_rng(seed)` where `seed` is None takes the system's entropy as `os.urandom` does.
Other generators have a state to see, and some take entropy that they do not use: `RandomState(7)` does.
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

from keras_repro.source_code.call_site import (
    CallSite,
    frames_from,
    is_users_file,
    site_of_frame,
)
from keras_repro.storage.trace_file import Event

_MOST_OF_A_LINE = 16


class Entropy:
    """Hears of the system's randomness being asked for.

    Args:
        tell: is given an event for each time that a line of the user's does.
    """

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._of_numpy = threading.local()
        self._told: Counter[tuple[str, int]] = Counter()

    def watch(self) -> None:
        """Begins with `os.urandom` and all of Python that asks it, and with NumPy's `default_rng`."""
        wrapt.wrap_function_wrapper(os, "urandom", self._asked)
        wrapt.wrap_function_wrapper(random, "_urandom", self._asked)  # of SystemRandom, and so of secrets
        wrapt.register_post_import_hook(self._watch_numpy, "numpy.random")
        wrapt.register_post_import_hook(self._leave_out_numpy, "numpy.random.bit_generator")

    def _leave_out_numpy(self, module: Any) -> None:
        def asked(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            self._of_numpy.here = True
            try:
                return wrapped(*args, **kwargs)
            finally:
                self._of_numpy.here = False

        if hasattr(module, "randbits"):
            module.randbits = wrapt.FunctionWrapper(module.randbits, asked)

    def _watch_numpy(self, module: Any) -> None:
        def made(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            generator = wrapped(*args, **kwargs)
            if (args[0] if args else kwargs.get("seed")) is None:
                self._take(repr(generator.bit_generator.state), sys._getframe(1))
            return generator

        wrapt.wrap_function_wrapper(module, "default_rng", made)

    def _asked(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        given = wrapped(*args, **kwargs)
        if not getattr(self._of_numpy, "here", False):
            self._take(repr(given), sys._getframe(1))
        return given

    def _take(self, given: str, frame: Any) -> None:
        line = _line_that_asks(frame)
        if line is not None and self._told[line.file, line.line] < _MOST_OF_A_LINE:
            self._told[line.file, line.line] += 1
            digest = xxhash.xxh3_64_hexdigest(given.encode())
            key = f"{line.file}:{line.line}"
            self._tell(Event(kind="entropy", key=key, value=digest, info={"source": line.to_dict()}))


def _line_that_asks(frame: Any) -> CallSite | None:
    """The innermost line of the user's at or above a frame; None for what importing a module asks."""
    for caller in frames_from(frame):
        file = caller.f_code.co_filename
        if file.startswith("<frozen importlib"):
            return None
        if is_users_file(file):
            return site_of_frame(caller)
    return None
