"""What a diagnosing process saw, event by event, so that the next one sees at once where it parts from it.

Events are *hard* (a state or a result that has to be the same) or *soft* (what happened on the way: a layer
was made, a line of the script was run, a batch was taken). Between two hard events lies an *interval*.

    >>> import contextlib, tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "trace.jsonl"
    >>> with contextlib.closing(TraceWriter(path)) as writer:
    ...     writer.soft(Event(kind="line", key="train.py:3", value="00ff"))
    ...     writer.hard(Event(kind="begin", key="0 0 0", value={"weights": "ab"}))
    >>> [(i.hard.kind, [e.key for e in i.soft]) for i in read_trace(path)]
    [('begin', ['train.py:3'])]
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from keras_repro.errors import LedgerError

TRACE_NAME = "trace.jsonl"


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that a diagnosing process saw.

    Attributes:
        kind: such as `"begin"`, `"end"` (of a step), `"batch"`, `"line"`, `"layer"`, `"record"`.
        key: which one of its kind it is; the same in a run that did the same.
        value: what has to be the same: a digest, or digests by section and name.
        info: what is said of it and is not compared.
    """

    kind: str
    key: str
    value: Any
    info: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Event:
        """Reads the JSON form back."""
        return cls(kind=data["kind"], key=data["key"], value=data["value"], info=data.get("info", {}))

    def same(self, other: Event) -> bool:
        """Whether both are the same event with the same value."""
        return (self.kind, self.key, self.value) == (other.kind, other.key, other.value)


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The soft events since the last hard one, and the hard event that ends it; None at the end."""

    soft: tuple[Event, ...]
    hard: Event | None


class TraceWriter:
    """Appends events to a file; soft ones reach it with the next hard one.

    Args:
        path: the file; replaced if it is there.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "w", encoding="ascii")  # noqa: SIM115 - closed by `close`

    def soft(self, event: Event) -> None:
        """Writes a soft event."""
        self._write(event, hard=False)

    def hard(self, event: Event) -> None:
        """Writes a hard event, and all before it."""
        self._write(event, hard=True)
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, event: Event, *, hard: bool) -> None:
        data = {"hard": hard, **event.to_dict()}
        self._file.write(json.dumps(data, separators=(",", ":")) + "\n")


def read_trace(path: str | os.PathLike[str]) -> Iterator[Interval]:
    """The intervals of a trace, the last one without a hard event where the process went on beyond it.

    Raises:
        LedgerError: there is no trace, or a line of it cannot be read.
    """
    soft: list[Event] = []
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break  # its process was killed while it wrote
                try:
                    data = json.loads(line)
                    event = Event.from_dict(data)
                except (ValueError, KeyError, TypeError):
                    raise LedgerError(f"{path} is damaged at line {number}") from None
                if not data.get("hard"):
                    soft.append(event)
                    continue
                yield Interval(soft=tuple(soft), hard=event)
                soft = []
    except OSError as error:
        raise LedgerError(f"cannot read {path}: {error.strerror}") from None
    if soft:
        yield Interval(soft=tuple(soft), hard=None)
