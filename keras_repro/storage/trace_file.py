"""The trace of a diagnosing process: its events in order, so that the next process can compare its own.

*Checked* events must match: a state, or a result. *Context* events explain a mismatch: a layer was
constructed, a line of the script ran. The context events before a checked event and that event are an
*interval*.

    >>> import contextlib, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "trace.jsonl"
    >>> with contextlib.closing(TraceWriter(path)) as writer:
    ...     writer.write(WeightsEvent(method="predict", digest="00ff"))
    ...     writer.write(StepBeginEvent(position=StepPosition(0, 0, 0), tensors={"weights": {"k": "ab"}}))
    >>> [(i.checked.tag, [e.tag for e in i.context]) for i in read_trace(path)]
    [('begin', ['weights'])]
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from keras_repro.errors import LedgerError
from keras_repro.storage.atomic_files import open_regular_file, open_to_write
from keras_repro.utils.json_record import JsonRecord, decode
from keras_repro.utils.source_line import SourceLine
from keras_repro.utils.text import system_reason

Tensors = Mapping[str, Mapping[str, str]]  # digests by section and name


@dataclass(frozen=True)
class StepPosition(JsonRecord):
    """The fit of a training step (-1 in a custom training loop), its epoch and its number, each from 0."""

    fit: int
    epoch: int
    step: int

    @property
    def in_fit(self) -> bool:
        """Whether the step is one of a fit."""
        return self.fit >= 0


@dataclass(frozen=True, kw_only=True)
class TraceEvent(JsonRecord):
    """An event that a diagnosing process records; each class names its identifying and compared fields."""

    _identity: ClassVar[tuple[str, ...]] = ()
    _compared: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(
        cls, tag: str = "", identity: tuple[str, ...] | None = None, compared: tuple[str, ...] = ()
    ) -> None:
        cls.tag = tag
        if identity is not None:
            cls._identity, cls._compared = identity, compared

    @property
    def key(self) -> tuple[Any, ...]:
        """What identifies the event: the same in an identical run."""
        return (self.tag, *(getattr(self, name) for name in self._identity))

    def matches(self, other: TraceEvent) -> bool:
        """Return whether both are the same event with the same value."""
        same_value = all(getattr(self, n) == getattr(other, n, None) for n in self._compared)
        return same_value and self.key == other.key


@dataclass(frozen=True, kw_only=True)
class StepEvent(TraceEvent, identity=("position",), compared=("tensors",)):
    """The state before or after a training step: digests by section and name."""

    position: StepPosition
    tensors: Tensors


@dataclass(frozen=True, kw_only=True)
class StepBeginEvent(StepEvent, tag="begin"):
    """The weights and the optimizer before a training step."""


@dataclass(frozen=True, kw_only=True)
class StepEndEvent(StepEvent, tag="end"):
    """The weights and the optimizer after a training step, and the seed generators and metrics it changed.

    A seed generator `NAME` also has the digest of its state before the step, as `NAME before`.
    """


@dataclass(frozen=True, kw_only=True)
class RecordEvent(TraceEvent, tag="record", identity=("position",), compared=("tensors", "sections")):
    """A record of the ledger.

    Attributes:
        record_kind: such as `"fit"`, `"epoch"`, `"evaluation"`.
        tensors: digests by section and name.
        sections: digests by section, if there are none by name.
        seeds_set: the seeds that were set when a fit began, by library; None in other records.
    """

    position: str
    record_kind: str
    tensors: Tensors
    sections: Mapping[str, str] = field(default_factory=dict)
    seeds_set: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class LineEvent(TraceEvent, tag="line", identity=("file", "line"), compared=("digests",)):
    """A statement of the user's code ran in the main thread.

    Attributes:
        line: its first line, from 1.
        digests: digest of all values that each of its names had in this interval.
        runs: for its runs, the count of all lines run so far and the digest of all its values up to then.
        sets: names that held sets whose order differs between processes; `name[]` held a dict of sets.
        varied: for each name whose values hardly repeat by chance, how many different values it has had since
            the start of the process, and how many values.
    """

    file: str
    line: int
    digests: Mapping[str, str]
    runs: tuple[tuple[int, str], ...]
    sets: tuple[str, ...] = ()
    varied: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ThreadLineEvent(TraceEvent, tag="thread line", identity=("file", "line")):
    """A statement of the user's code ran outside the main thread: its number and digests for each run.

    Threads proceed at different speeds, so only runs with the same number can be compared. `varied` is as in
    `LineEvent`.
    """

    file: str
    line: int
    runs: tuple[tuple[int, Mapping[str, str]], ...]
    varied: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class FitEvent(
    TraceEvent,
    tag="fit",
    identity=("position",),
    compared=("data", "validation_data", "configuration", "arguments"),
):
    """A fit began: its data, the model's configuration and the arguments, as in the ledger."""

    position: str
    data: Any
    validation_data: Any
    configuration: Any
    arguments: Any


@dataclass(frozen=True, kw_only=True)
class DataEvent(TraceEvent, tag="data", identity=("position",), compared=("data",)):
    """The data of an evaluation or a prediction, described as in the ledger."""

    position: str
    data: Any


@dataclass(frozen=True, kw_only=True)
class WeightsEvent(TraceEvent, tag="weights", identity=("method",), compared=("digest",)):
    """A model's weights when `evaluate` or `predict` was called."""

    method: str
    digest: str | None


@dataclass(frozen=True, kw_only=True)
class CallEvent(TraceEvent, tag="call", identity=("method", "source")):
    """A line of the user's code called a method of a model."""

    method: str
    source: SourceLine


@dataclass(frozen=True, kw_only=True)
class VariableEvent(TraceEvent, tag="variable", identity=("name",), compared=("digest",)):
    """A variable was created.

    Attributes:
        digest: of its initial value.
        layer: class of the layer that created it, empty if none did.
        optimizer: class of the optimizer that created it, empty if none did.
        source: the line that constructed the layer or optimizer, or else the variable.
        is_seed: whether it is the state of a seed generator.
        is_unseeded: whether its initializer took its seed from Python's generator.
    """

    name: str
    digest: str
    layer: str = ""
    optimizer: str = ""
    source: SourceLine | None = None
    is_seed: bool = False
    is_unseeded: bool = False


@dataclass(frozen=True, kw_only=True)
class BatchEvent(TraceEvent, tag="batch", identity=("position",), compared=("parts",)):
    """A batch of a step.

    Attributes:
        parts: digests by part: `"0"` or `"0['age']"` (inputs), `"1"` (labels), ...
        rows: digests of its samples.
        threads: number of running threads that have made steps of this custom training loop.
    """

    position: StepPosition
    parts: Mapping[str, str]
    rows: tuple[str, ...] = ()
    threads: int = 0


@dataclass(frozen=True, kw_only=True)
class HookEvent(TraceEvent, tag="hook", identity=("callback", "hook"), compared=("sections",)):
    """A hook of a callback changed the state: digests of the changed sections, and where it is defined."""

    callback: str
    hook: str
    sections: Mapping[str, str]
    source: SourceLine | None = None


@dataclass(frozen=True, kw_only=True)
class ConstructionEvent(TraceEvent, tag="construction", identity=("what", "source")):
    """A stage of a pipeline, a data set or a thread was constructed, with what in it may not repeat."""

    what: str
    source: SourceLine
    risks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EntropyEvent(TraceEvent, tag="entropy", identity=("source",), compared=("digest",)):
    """A line of the user's code asked the system for randomness, perhaps through a library.

    Attributes:
        digest: of what it got.
        call: the library's function or class that takes a seed for the generator, or empty.
        argument: the argument for it, such as `seed=42`.
        seeding: a call that seeds the user's object with it, such as `env.reset(seed=42)`, or empty.
        made: the line that made that object, if it was made earlier; else None.
    """

    source: SourceLine
    digest: str
    call: str = ""
    argument: str = ""
    seeding: str = ""
    made: SourceLine | None = None


@dataclass(frozen=True, kw_only=True)
class FileReadEvent(TraceEvent, tag="file read", identity=("path", "source"), compared=("digest",)):
    """A line of the user's code read a file: a digest of its content."""

    path: str
    source: SourceLine
    digest: str


CheckedEvent = StepBeginEvent | StepEndEvent | RecordEvent
ContextEvent = (
    LineEvent
    | ThreadLineEvent
    | FitEvent
    | DataEvent
    | WeightsEvent
    | CallEvent
    | VariableEvent
    | BatchEvent
    | HookEvent
    | ConstructionEvent
    | EntropyEvent
    | FileReadEvent
)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The context events before a checked event, and that event; None after the last one."""

    context: tuple[ContextEvent, ...]
    checked: CheckedEvent | None


class TraceWriter:
    """Append events to a file, which is replaced if it exists.

    Raises:
        OSError: there is a link, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._file = io.TextIOWrapper(open_to_write(path), encoding="ascii", newline="\n")

    def write(self, event: CheckedEvent | ContextEvent) -> None:
        """Write an event, and flush the file if it is a checked event."""
        self._file.write(event.to_json() + "\n")
        if isinstance(event, CheckedEvent):
            self._file.flush()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()


def read_trace(path: str | os.PathLike[str]) -> Iterator[Interval]:
    """Yield the intervals of a trace; the last has no checked event if context events follow it.

    Raises:
        LedgerError: the trace is missing, or a line cannot be read.
    """
    context: list[ContextEvent] = []
    try:
        with open_regular_file(Path(path), what="trace") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break  # the process was killed while it wrote
                try:
                    event = decode(CheckedEvent | ContextEvent, json.loads(line))
                except (ValueError, KeyError, TypeError):
                    raise LedgerError(f"{path} is damaged at line {number}") from None
                if isinstance(event, CheckedEvent):
                    yield Interval(context=tuple(context), checked=event)
                    context = []
                else:
                    context.append(event)
    except OSError as error:
        raise LedgerError(f"cannot read {path}: {system_reason(error)}") from None
    if context:
        yield Interval(context=tuple(context), checked=None)
