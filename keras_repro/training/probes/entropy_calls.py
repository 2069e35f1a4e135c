"""Record which lines of the user's code ask the system for randomness.

For a diagnosis: `default_rng(seed)` takes the system's entropy if `seed` is None, as `os.urandom` does.
Other generators have a state to compare, and some ask for entropy without using it: `RandomState(7)` does.
"""

from __future__ import annotations

import os
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import xxhash

from keras_repro.source_code.call_site import frames_from, site_of_frame, source_line
from keras_repro.source_code.ownership import is_users_file
from keras_repro.source_code.seeded_objects import SeedWay, seed_way, shared_seed_way
from keras_repro.storage.trace_file import EntropyEvent
from keras_repro.training.backends.hooks import Call, Steps, add_hook
from keras_repro.training.backends.import_hooks import when_imported
from keras_repro.utils.source_line import SourceLine

_MAX_PER_LINE = 16

_MAX_LIBRARY_GENERATORS = 8
_BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
_TEMPORARY_FILES = tempfile.__file__


@dataclass
class _LibraryGenerator:
    """A generator without a seed that a library made when it was imported, for all its objects.

    Attributes:
        generator: the generator.
        package: the library's top package.
        state: its state when it was last looked at.
    """

    generator: Any
    package: str
    state: str


class EntropyCalls:
    """Report each line of the user's code that asks the system for randomness, perhaps through a library.

    Args:
        emit: receives an event for each call.
    """

    def __init__(self, emit: Callable[[EntropyEvent], None]) -> None:
        self._emit = emit
        self._in_numpy = threading.local()
        self._counts: Counter[tuple[str, int]] = Counter()
        self._of_libraries: list[_LibraryGenerator] = []
        self._drawing: set[tuple[str, int]] = set()

    def watch(self) -> None:
        """Hook `os.urandom`, which Python's own modules call, and what makes generators without a seed."""
        add_hook(os, "urandom", self._ask)
        add_hook(random, "_urandom", self._ask)  # used by SystemRandom, and so by secrets
        add_hook(random.Random, "__init__", self._make_random)
        add_hook(random.Random, "seed", self._seed_random)
        when_imported("numpy.random", self._watch_numpy)
        when_imported("numpy.random.bit_generator", self._exclude_numpy)

    def note_draws(self, frame: Any, line: int | None) -> None:
        """Report a line that drew from a generator which a library made without a seed at its import.

        Args:
            frame: a frame of the user's code.
            line: the first line of the statement that it ran, None for an import.
        """
        for kept in self._of_libraries:
            before, kept.state = kept.state, _state(kept.generator)
            if line is None or kept.state == before or (frame.f_code.co_filename, line) in self._drawing:
                continue
            self._drawing.add((frame.f_code.co_filename, line))
            way = shared_seed_way(frame, line, kept.package)
            self._emit_event(
                source_line(frame.f_code.co_filename, line, frame.f_code.co_name), kept.state, way
            )

    def _exclude_numpy(self, module: Any) -> None:
        def randbits(call: Call) -> Steps:
            self._in_numpy.here = True
            try:
                yield
            finally:
                self._in_numpy.here = False

        if hasattr(module, "randbits"):
            add_hook(module, "randbits", randbits)

    def _watch_numpy(self, module: Any) -> None:
        for name in ("default_rng", "RandomState", *_BIT_GENERATORS):
            self._watch_maker(module, name, "seed")
        self._watch_maker(module, "SeedSequence", "entropy")

    def _watch_maker(self, module: Any, name: str, parameter: str) -> None:
        """Hook a function or class that makes a generator, and asks for entropy if it gets no seed."""

        def make(call: Call) -> Steps:
            yield
            if call.arguments.get(parameter) is None:
                self._made(call.result, call.caller)

        add_hook(module, name, make)

    def _make_random(self, call: Call) -> Steps:
        yield
        generator = call.arguments["self"]
        if call.arguments.get("x") is None and type(generator) is random.Random:
            self._made(generator, call.caller)

    def _seed_random(self, call: Call) -> Steps:
        yield
        if call.arguments.get("a") is not None:
            generator = call.arguments["self"]
            self._of_libraries = [kept for kept in self._of_libraries if kept.generator is not generator]

    def _made(self, generator: Any, frame: Any) -> None:
        state = _state(generator)
        self._report(state, frame)
        # A `RandomState` may get a seed later, which cannot be observed.
        can_be_kept = type(generator).__name__ in ("Random", "Generator")
        if can_be_kept and _is_importing(frame) and len(self._of_libraries) < _MAX_LIBRARY_GENERATORS:
            package = str(frame.f_globals.get("__name__")).partition(".")[0]
            self._of_libraries.append(_LibraryGenerator(generator, package, state))

    def _ask(self, call: Call) -> Steps:
        yield
        if not getattr(self._in_numpy, "here", False):
            self._report(repr(call.result), call.caller)

    def _report(self, value: str, frame: Any) -> None:
        line = _asking_line(frame)
        if line is not None and self._counts[line.file, line.line] < _MAX_PER_LINE:
            self._counts[line.file, line.line] += 1
            self._emit_event(line, value, seed_way(frame))

    def _emit_event(self, line: SourceLine, value: str, way: SeedWay) -> None:
        digest = xxhash.xxh3_64_hexdigest(value.encode())
        self._emit(EntropyEvent(source=line, digest=digest, **vars(way)))


def _state(generator: Any) -> str:
    """Return the state of a generator, of a bit generator, or of what one is made from."""
    if isinstance(generator, random.Random):
        return repr(generator.getstate())
    kind = type(generator).__name__
    if kind == "RandomState":
        return repr(generator.get_state(legacy=False)["state"])
    if kind == "SeedSequence":
        return repr(generator.entropy)
    return repr(getattr(generator, "bit_generator", generator).state)


def _is_importing(frame: Any) -> bool:
    """Return whether a frame runs while the module of a library is imported by a line of the user's."""
    for caller in frames_from(frame):
        file = caller.f_code.co_filename
        if file.startswith("<frozen importlib") or is_users_file(file):
            return not is_users_file(file)
    return False


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
