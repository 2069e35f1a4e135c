"""Trace the values that the user's own lines produce, so that the first line that differs can be reported.

After each line of the user's code, the values of the names in it are hashed: numbers, text, arrays, tensors,
generators and containers of them. No code of the user is called and no value is changed. Tracing slows down
the script's own Python code, so it is only used for a diagnosis.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import xxhash

from keras_repro.determinism.seeds import capture_rng_state
from keras_repro.source_code.call_site import user_frame
from keras_repro.source_code.ownership import is_of_library, is_users_file
from keras_repro.source_code.scope_values import static_attribute
from keras_repro.source_code.statements import Statement, statements_of
from keras_repro.storage.trace_file import LineEvent, ThreadLineEvent
from keras_repro.training.probes.distinct_values import DistinctValues
from keras_repro.training.probes.value_digest import DigestBudget, value_digest

_MAX_LINE_RUNS = 4096  # in one interval
_MAX_FUNCTION_RUNS = 100_000
_FULL_BUDGET = 100_000  # units per name in a line; after that its values are sampled
_MAX_ELEMENTS = 16  # elements of a set
_ALL_RUNS = 64  # runs of a line that are all recorded; later ones are sampled


class LineTracer:
    """Collect a digest for each name in each line of the user's code that runs.

    Attributes:
        after_line: called with a frame of the main thread and the first line of the statement that it ran;
            with None for an import.
    """

    def __init__(self) -> None:
        self.after_line: Callable[[Any, int | None], None] = lambda frame, line: None
        self._lines: dict[tuple[str, int], _Line] = {}
        self._thread_lines: dict[tuple[str, int], _ThreadLine] = {}
        self._values = DistinctValues()
        self._files: dict[str, dict[int, Statement]] = {}
        self._runs: dict[Any, int] = {}
        self._busy = threading.local()
        self._lock = threading.RLock()
        self._count = 0
        self._generators = dict(_generator_states())
        self._running = False
        self._main = threading.get_ident()

    def start(self) -> None:
        """Start tracing in this thread and in threads that start later."""
        self._running = True
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def stop(self) -> None:
        """Stop tracing, also of frames that are running."""
        self._running = False
        threading.settrace(None)
        sys.settrace(None)
        self._busy.here = True

    @contextlib.contextmanager
    def trace_thread(self) -> Iterator[None]:
        """Trace the block, also in a thread that Python did not start."""
        before = sys.gettrace()
        if before is None and self._running:
            sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    def take(self) -> list[LineEvent | ThreadLineEvent]:
        """Return the lines that ran since the last call, those of other threads first."""
        with self._lock:
            lines, self._lines = self._lines, {}
            thread_lines = [
                ThreadLineEvent(file=at[0], line=at[1], runs=line.take(), varied=self._values.of(at))
                for at, line in self._thread_lines.items()
                if line.recorded
            ]
        return thread_lines + [
            LineEvent(
                file=file,
                line=number,
                digests={name: hasher.hexdigest() for name, hasher in line.hashers.items()},
                runs=tuple(line.recorded),
                sets=tuple(sorted(line.sets)),
                varied=self._values.of((file, number)),
            )
            for (file, number), line in lines.items()
            if line.hashers
        ]

    def _note_draws(self, frame: Any) -> None:
        """Attribute the draws up to now to the user's line that is still running."""
        frame = user_frame(frame)
        statement = None
        if frame is not None:
            statement = self.statements(frame.f_code.co_filename).get(frame.f_lineno)
        with self._lock:
            for name, digest in self._draws():
                if frame is not None and statement is not None:
                    line = self._lines.setdefault((frame.f_code.co_filename, statement.line), _Line())
                    line.add(name, digest)
                    self._values.add((frame.f_code.co_filename, statement.line), name, self, digest)
                    self._count += 1
                    line.record(self._count)
        if frame is not None and statement is not None:
            self.after_line(frame, statement.line)

    def _draws(self) -> Iterator[tuple[str, bytes]]:
        """Yield the process's generators that were drawn from since the last call, with their new states."""
        for name, state in _generator_states():
            if self._generators.get(name) != state:
                is_new = name not in self._generators
                self._generators[name] = state
                if not is_new:
                    yield name, state

    def _enter(self, frame: Any, event: str, argument: Any) -> Any:
        if is_of_library(frame):
            return None
        code = frame.f_code
        if not is_users_file(code.co_filename) or getattr(self._busy, "here", False):
            return None
        runs = self._runs[code] = self._runs.get(code, 0) + 1
        if runs > _MAX_FUNCTION_RUNS:
            return None
        if threading.get_ident() == self._main:
            self._note_draws(frame.f_back)
        return _FrameTracer(self, code.co_filename).trace

    def statements(self, file: str) -> dict[int, Statement]:
        """Return the statement of each line of a file."""
        if file not in self._files:
            self._files[file] = statements_of(file)
        return self._files[file]

    def ran(self, file: str, statement: Statement, frame: Any, returned: Any) -> None:
        """Record the values after a statement has run."""
        if getattr(self._busy, "here", False):
            return
        if statement.imports:
            # Draws of a library while it is imported do not belong to the next line.
            if threading.get_ident() == self._main:
                self._generators.update(_generator_states())
                self.after_line(frame, None)
            return
        self._busy.here = True
        at = file, statement.line
        try:
            with self._lock:
                if threading.get_ident() != self._main:
                    thread_line = self._thread_lines.setdefault(at, _ThreadLine())
                    thread_line.add(at, _values(statement, frame, returned), self._values)
                    return
                line = self._lines.setdefault(at, _Line())
                line.runs += 1
                if line.runs > _MAX_LINE_RUNS:
                    return
                for name, value in _values(statement, frame, returned):
                    if type(value) in (set, frozenset) and _is_ordered_by_hash(value):
                        line.sets.add(name)
                    elif type(value) in (dict, collections.defaultdict) and _holds_sets(value):
                        line.sets.add(f"{name}[]")
                    digest = line.samples.digest(name, value, line.runs)
                    if digest is not None:
                        line.add(name, digest)
                        self._values.add(at, name, value, digest)
                for name, digest in self._draws():
                    line.add(name, digest)
                    self._values.add(at, name, self, digest)
                self.after_line(frame, statement.line)
                self._count += 1
                if line.runs <= _ALL_RUNS or _is_round(line.runs):
                    line.record(self._count)
        finally:
            self._busy.here = False


def _is_ordered_by_hash(values: Any) -> bool:
    """Return whether the order of a set may differ between processes; that of numbers does not."""
    return any(type(v) not in (int, float, bool) for v in itertools.islice(values, _MAX_ELEMENTS))


def _holds_sets(values: Any) -> bool:
    """Return whether the first value of a dict is such a set."""
    first = next(iter(values.values()), None)
    return type(first) in (set, frozenset) and _is_ordered_by_hash(first)


def _is_round(number: int) -> bool:
    """Return whether only the first four binary digits are not 0: true eight times in each doubling."""
    return not number & ((1 << max(0, number.bit_length() - 4)) - 1)


def _generator_states() -> Iterator[tuple[str, bytes]]:
    """Yield enough of the states of Python's and NumPy's generators to tell whether they moved."""
    states = capture_rng_state()
    _, state, _ = states["python"]
    yield "random", repr((state[-1], state[:4])).encode()
    if "numpy" in states:
        _, keys, position, *_ = states["numpy"]
        yield "np.random", keys[:4].tobytes() + int(position).to_bytes(4, "little")


class _SampledDigests:
    """Digest the values of a line's names; names that exceed their budget are only sampled.

    The budget counts values, not time: two processes must sample the same runs.
    """

    def __init__(self) -> None:
        self._spent: Counter[str] = Counter()

    def digest(self, name: str, value: Any, run: int) -> bytes | None:
        if self._spent[name] > _FULL_BUDGET and not _is_round(run):
            return None
        before = DigestBudget.spent
        digest = value_digest(value)
        self._spent[name] += DigestBudget.spent - before
        return digest


@dataclass
class _Line:
    """A line in the main thread, in one interval.

    Attributes:
        recorded: for its runs, the count of all lines up to then and the digest of all its values.
        sets: names of sets that are ordered by hashes; `name[]` is a dict of them.
    """

    runs: int = 0
    samples: _SampledDigests = field(default_factory=_SampledDigests)
    recorded: list[tuple[int, str]] = field(default_factory=list)
    values: Any = field(default_factory=xxhash.xxh3_64)
    hashers: dict[str, Any] = field(default_factory=dict)
    sets: set[str] = field(default_factory=set)

    def add(self, name: str, digest: bytes) -> None:
        self.hashers.setdefault(name, xxhash.xxh3_64()).update(digest)
        self.values.update(digest)

    def record(self, count: int) -> None:
        self.recorded.append((count, self.values.hexdigest()))


@dataclass
class _ThreadLine:
    """A line outside the main thread, run by run since the start."""

    runs: int = 0
    samples: _SampledDigests = field(default_factory=_SampledDigests)
    recorded: list[tuple[int, dict[str, str]]] = field(default_factory=list)

    def add(self, at: tuple[str, int], values: Iterable[tuple[str, Any]], distinct: DistinctValues) -> None:
        self.runs += 1
        if self.runs > _MAX_LINE_RUNS:
            return
        digests: dict[str, str] = {}
        for name, value in values:
            digest = self.samples.digest(name, value, self.runs)
            if digest is not None:
                digests[name] = xxhash.xxh32_hexdigest(digest)
                distinct.add(at, name, value, digest)
        self.recorded.append((self.runs, digests))

    def take(self) -> tuple[tuple[int, dict[str, str]], ...]:
        recorded, self.recorded = self.recorded, []
        return tuple(recorded)


class _FrameTracer:
    """Trace one running frame: a line has run when the next one begins."""

    def __init__(self, tracer: LineTracer, file: str) -> None:
        self._tracer, self._file = tracer, file
        self._last: Statement | None = None

    def trace(self, frame: Any, event: str, argument: Any) -> Any:
        """Called by Python for each line of the frame."""
        if event not in ("line", "return"):
            return self.trace
        last = self._last
        current = self._tracer.statements(self._file).get(frame.f_lineno) if event == "line" else None
        if last is not None and current is not last:
            next_line = frame.f_lineno if event == "line" else 0
            returned = argument if event == "return" else _NOTHING
            self._tracer.ran(self._file, last, frame, next_line if last.decides else returned)
        elif last is not None and last.loops:
            self._tracer.ran(self._file, last, frame, _NOTHING)
        self._last = current
        return self.trace


_NOTHING = object()


def _values(statement: Statement, frame: Any, returned: Any) -> Iterator[tuple[str, Any]]:
    local_names, global_names = frame.f_locals, frame.f_globals
    for chain in statement.names:
        value = local_names.get(chain[0], global_names.get(chain[0], _NOTHING))
        for name in chain[1:]:
            value = static_attribute(value, name, _NOTHING)
        if value is not _NOTHING:
            yield ".".join(chain), value
    if returned is not _NOTHING:
        yield "continues at" if statement.decides else "return", returned
