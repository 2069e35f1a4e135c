"""Watches the values that the user's own lines bring forth, so that the first line that differs can be named.

While it watches, each line of the user's code is followed by a look at the names that stand in it. Numbers,
text, arrays, tensors, generators and containers of them are hashed; nothing of the user's is called. It is
for diagnosing: it slows a script's own Python code, and changes no value.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import random
import sys
import threading
import types
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import xxhash

from keras_repro.source_code.call_site import is_of_library, is_users_file, user_frame
from keras_repro.source_code.statements import Statement, statements_of
from keras_repro.storage.trace_file import Event
from keras_repro.training.probes.value_digest import DigestBudget, value_digest

_MOST_RUNS_OF_A_LINE = 4096  # in one interval
_MOST_RUNS_OF_A_FUNCTION = 100_000
_MOST_WORK = 100_000  # for a name in a line, and less often from there on
_MOST_LOOKED_AT = 16  # elements of a set
_MOST_SEEN = 64  # and few of those that come later


class LineTracer:
    """Collects, for each line of the user's that ran, one digest for each name in it."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, int], _Line] = {}
        self._elsewhere: dict[tuple[str, int], _ThreadLine] = {}
        self._files: dict[str, dict[int, Statement]] = {}
        self._runs: dict[Any, int] = {}
        self._busy = threading.local()
        self._lock = threading.RLock()
        self._count = 0
        self._states = dict(_generators())
        self._running = False
        self._main = threading.get_ident()

    def start(self) -> None:
        """Begins to watch, in this thread and in those that start later."""
        self._running = True
        threading.settrace(self._enter)
        sys.settrace(self._enter)

    def stop(self) -> None:
        """Ends the watching; frames that are running are no longer looked at."""
        self._running = False
        threading.settrace(None)
        sys.settrace(None)
        self._busy.here = True

    @contextlib.contextmanager
    def trace_thread(self) -> Iterator[None]:
        """Watches what runs in the block also in a thread that Python did not start."""
        before = sys.gettrace()
        if before is None and self._running:
            sys.settrace(self._enter)
        try:
            yield
        finally:
            sys.settrace(before)

    def take(self) -> list[Event]:
        """The lines that ran since the last call, in the order in which each ran first.

        Those that ran in other threads than the main one stand behind, as events of the kind `"thread line"`:
        how far another thread has come by now is no difference, so each of its runs is given with its number.
        """
        with self._lock:
            lines, self._lines = self._lines, {}
            others = [
                Event(kind="thread line", key=f"{file}:{number}", value=None, info=line.taken(file, number))
                for (file, number), line in self._elsewhere.items()
                if line.seen
            ]
        return others + [
            Event(
                kind="line",
                key=f"{file}:{number}",
                value={name: hasher.hexdigest() for name, hasher in line.hashers.items()},
                info={"file": file, "line": number, "seen": line.seen}
                | ({"sets": sorted(line.sets)} if line.sets else {}),
            )
            for (file, number), line in lines.items()
            if line.hashers
        ]

    def _note_draws(self, frame: Any) -> None:
        """Counts what was drawn up to now towards the line of the user's that is still running."""
        frame = user_frame(frame)
        statement = None
        if frame is not None:
            statement = self.statements(frame.f_code.co_filename).get(frame.f_lineno)
        with self._lock:
            for name, digest in self._draws():
                if frame is not None and statement is not None:
                    line = self._lines.setdefault((frame.f_code.co_filename, statement.line), _Line())
                    line.hashers.setdefault(name, xxhash.xxh3_64()).update(digest)
                    line.whole.update(digest)
                    self._count += 1
                    line.seen.append([self._count, line.whole.hexdigest()])

    def _draws(self) -> Iterator[tuple[str, bytes]]:
        """The process's own generators that were drawn from since the last look, with their new states."""
        for name, state in _generators():
            if self._states.get(name) != state:
                first = name not in self._states
                self._states[name] = state
                if not first:
                    yield name, state

    def _enter(self, frame: Any, event: str, argument: Any) -> Any:
        if is_of_library(frame):
            return None
        code = frame.f_code
        if not is_users_file(code.co_filename) or getattr(self._busy, "here", False):
            return None
        runs = self._runs[code] = self._runs.get(code, 0) + 1
        if runs > _MOST_RUNS_OF_A_FUNCTION:
            return None
        if threading.get_ident() == self._main:
            self._note_draws(frame.f_back)
        return _FrameWatch(self, code.co_filename).trace

    def statements(self, file: str) -> dict[int, Statement]:
        """The statement that each line of a file belongs to."""
        if file not in self._files:
            self._files[file] = statements_of(file)
        return self._files[file]

    def ran(self, file: str, statement: Statement, frame: Any, returned: Any) -> None:
        """Takes in what a statement has brought forth."""
        if getattr(self._busy, "here", False):
            return
        if statement.imports:
            # What libraries draw as they are imported is no doing of the line that comes next.
            if threading.get_ident() == self._main:
                self._states.update(_generators())
            return
        self._busy.here = True
        try:
            with self._lock:
                if threading.get_ident() != self._main:
                    held = self._elsewhere.setdefault((file, statement.line), _ThreadLine())
                    held.add(_values(statement, frame, returned))
                    return
                line = self._lines.setdefault((file, statement.line), _Line())
                line.runs += 1
                if line.runs > _MOST_RUNS_OF_A_LINE:
                    return
                for name, value in _values(statement, frame, returned):
                    if type(value) in (set, frozenset) and _goes_by_hash(value):
                        line.sets.add(name)
                    elif type(value) in (dict, collections.defaultdict) and _holds_sets(value):
                        line.sets.add(f"{name}[]")
                    digest = line.looks.at(name, value, line.runs)
                    if digest is not None:
                        line.hashers.setdefault(name, xxhash.xxh3_64()).update(digest)
                        line.whole.update(digest)
                for name, digest in self._draws():
                    line.hashers.setdefault(name, xxhash.xxh3_64()).update(digest)
                    line.whole.update(digest)
                self._count += 1
                if line.runs <= _MOST_SEEN or _is_round(line.runs):
                    line.seen.append([self._count, line.whole.hexdigest()])
        finally:
            self._busy.here = False


def _goes_by_hash(values: Any) -> bool:
    """Whether the order of a set may be another one in another process: numbers keep theirs."""
    return any(type(v) not in (int, float, bool) for v in itertools.islice(values, _MOST_LOOKED_AT))


def _holds_sets(values: Any) -> bool:
    """Whether the first value of a dict is such a set."""
    first = next(iter(values.values()), None)
    return type(first) in (set, frozenset) and _goes_by_hash(first)


def _is_round(number: int) -> bool:
    """Whether a number has but four binary digits before its zeros: eight of them to each doubling."""
    return not number & ((1 << max(0, number.bit_length() - 4)) - 1)


def _generators() -> Iterator[tuple[str, bytes]]:
    """The states of Python's and NumPy's own generators, as short as tells whether they moved."""
    _, state, _ = random.getstate()
    yield "random", repr((state[-1], state[:4])).encode()
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None and hasattr(numpy_random, "mtrand"):
        _, keys, position, *_ = numpy_random.get_state()
        yield "np.random", keys[:4].tobytes() + int(position).to_bytes(4, "little")


class _SampledDigests:
    """Looks at the values of a line's names: at those that have taken much work only now and then.

    What counts is how much there is to look at, not the time: two runs have to look at the same.
    """

    def __init__(self) -> None:
        self._work: Counter[str] = Counter()

    def at(self, name: str, value: Any, run: int) -> bytes | None:
        if self._work[name] > _MOST_WORK and not _is_round(run):
            return None
        before = DigestBudget.done
        digest = value_digest(value)
        self._work[name] += DigestBudget.done - before
        return digest


class _Line:
    def __init__(self) -> None:
        self.runs = 0
        self.looks = _SampledDigests()
        # When it ran, as a count over all lines, and what it had brought forth by then.
        self.seen: list[list[Any]] = []
        self.whole = xxhash.xxh3_64()
        self.hashers: dict[str, Any] = {}
        # Names that held sets whose order is another one in each process; `name[]` held a dict of them.
        self.sets: set[str] = set()


class _ThreadLine:
    """One line as it ran outside of the main thread, run by run since the start."""

    def __init__(self) -> None:
        self.runs = 0
        self.looks = _SampledDigests()
        self.seen: list[list[Any]] = []

    def add(self, values: Iterable[tuple[str, Any]]) -> None:
        self.runs += 1
        if self.runs <= _MOST_RUNS_OF_A_LINE:
            found = ((name, self.looks.at(name, value, self.runs)) for name, value in values)
            digests = {n: xxhash.xxh32_hexdigest(d) for n, d in found if d is not None}
            self.seen.append([self.runs, digests])

    def taken(self, file: str, number: int) -> dict[str, Any]:
        seen, self.seen = self.seen, []
        return {"file": file, "line": number, "seen": seen}


class _FrameWatch:
    """One running frame: looks at a line when the next one begins."""

    def __init__(self, watch: LineTracer, file: str) -> None:
        self._watch, self._file = watch, file
        self._last: Statement | None = None

    def trace(self, frame: Any, event: str, argument: Any) -> Any:
        """What Python calls for each line of the frame."""
        if event not in ("line", "return"):
            return self.trace
        last = self._last
        now = self._watch.statements(self._file).get(frame.f_lineno) if event == "line" else None
        if last is not None and now is not last:
            next_line = frame.f_lineno if event == "line" else 0
            returned = argument if event == "return" else _NOTHING
            self._watch.ran(self._file, last, frame, next_line if last.decides else returned)
        elif last is not None and last.loops:
            self._watch.ran(self._file, last, frame, _NOTHING)
        self._last = now
        return self.trace


_NOTHING = object()


def _values(statement: Statement, frame: Any, returned: Any) -> Iterator[tuple[str, Any]]:
    held, shared = frame.f_locals, frame.f_globals
    for chain in statement.names:
        value = held.get(chain[0], shared.get(chain[0], _NOTHING))
        for name in chain[1:]:
            value = _attribute(value, name)
        if value is not _NOTHING:
            yield ".".join(chain), value
    if returned is not _NOTHING:
        yield "goes on at" if statement.decides else "return", returned


def _attribute(value: Any, name: str) -> Any:
    """An attribute that an object or its class holds as it is: no property is asked."""
    held = _held_by(value)
    if name in held:
        return held[name]
    kind = type(value)
    if issubclass(kind, type(sys)):
        return _NOTHING
    for owner in value.__mro__ if kind is type else kind.__mro__:
        # As the class's own code is compiled: `self.__rng` is `_Owner__rng`.
        private = name.startswith("__") and not name.endswith("__")
        own = f"_{owner.__name__.lstrip('_')}{name}" if private else name
        if own in held:
            return held[own]
        found = owner.__dict__.get(own, _NOTHING)
        if type(found) is types.MemberDescriptorType:
            try:
                return found.__get__(value)
            except AttributeError:  # a slot that is empty
                return _NOTHING
        if found is not _NOTHING:
            return found
    return _NOTHING


def _held_by(value: Any) -> dict[str, Any]:
    """The attributes that an object itself holds. Its class is not asked: that may be anyone's code."""
    if issubclass(type(value), type | type(sys)):
        return {}
    try:
        held = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return held if type(held) is dict else {}
