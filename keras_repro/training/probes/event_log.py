"""The child-process side of `diagnose`: sees what a run does event by event, and where it parts from another.

The first process only writes its trace. Each later one holds its own events against a trace while it runs;
at the first hard event that differs it gathers the evidence, with the state from just before it still in its
hands, writes `divergence.json`, and ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_repro.ledger.schema import Record
from keras_repro.processes.protocol import DIVERGED, DIVERGENCE_NAME, TARGET_REACHED
from keras_repro.source_code.call_site import user_call_site
from keras_repro.storage.trace_file import TRACE_NAME, Event, Interval, TraceWriter, read_trace
from keras_repro.training.probes.construction_sites import ConstructionSites
from keras_repro.training.probes.file_access import FileReads
from keras_repro.training.probes.layer_descriptions import describe_layers, describe_owners
from keras_repro.training.probes.line_tracer import LineTracer
from keras_repro.utils.text import one_line_error

if TYPE_CHECKING:
    from keras_repro.training.probes.variable_probe import VariableProbe

_MOST_DIFFERENCES = 3000
_NO_FIT = -1  # number of the fit of a custom training loop
_MOST_READERS = 2  # each keeps its model

Evidence = Callable[[], dict[str, Any]]


class EventLog:
    """What a diagnosing process has seen so far.

    Args:
        folder: the run folder, which gets the trace.
        reference: the trace to be held against, or None.
        until: number of the hard event after which enough was seen, or None.
        last: `fit` and `epoch` after whose record enough was seen, or None.
        replays: whether a step that differs is run again.
        target: whether to gather the evidence at `until` also where nothing differs.

    Attributes:
        active: whether it still looks; False once it has written what it found.
        inside_keras: how deep in Keras's own training it is, whose steps are looked at by themselves.
        lines: the watch over the user's lines.
        files: the watch over the files that they open.
        variables: the record of initial values, once Keras is imported.
        model: the model that was trained last, or None.
    """

    variables: VariableProbe

    def __init__(
        self,
        folder: Path,
        *,
        reference: str | None = None,
        until: int | None = None,
        last: Mapping[str, int | None] | None = None,
        replays: bool = False,
        target: bool = False,
    ) -> None:
        self.folder, self.replays, self.active = folder, replays, True
        self.inside_keras = 0
        self.lines = LineTracer()
        self.sites = ConstructionSites(self.note, self.lines)
        self.files = FileReads(self.note)
        self.model: Any = None
        self._until, self._last, self._target = until, last, target
        self._writer = TraceWriter(folder / TRACE_NAME)
        self._reference: Iterator[Interval] | None = None if reference is None else read_trace(reference)
        self._number = -1
        self._soft: list[Event] = []
        self._differences: list[dict[str, Any]] = []
        self._lock = threading.RLock()
        self._places: dict[int, list[int]] = {}
        self._readers: dict[int, Any] = {}  # of the models that were asked for results last
        self._steps: int | None = None
        self._pid = os.getpid()

    @property
    def follows(self) -> bool:
        """Whether it is held against another trace, or stops to replay."""
        return self._reference is not None or self._target

    def note(self, event: Event) -> None:
        """Takes in what happened on the way."""
        if self.active:
            with self._lock:
                self._soft.append(event)

    def check(self, event: Event, *, evidence: Evidence | None = None) -> None:
        """Takes in what has to be the same; ends the process where it is not, or where enough was seen."""
        if not self.active or os.getpid() != self._pid:
            return
        with self._lock:
            self._number += 1
            soft = [*self.lines.take(), *self._soft]
            self._soft = []
            for each in soft:
                self._writer.soft(each)
            self._writer.hard(event)
            other = None
            if self._reference is not None:
                interval = next(self._reference, Interval(soft=(), hard=None))
                self._differences += _soft_differences(self._number, soft, interval.soft)
                del self._differences[_MOST_DIFFERENCES:]
                other = interval.hard
                if other is None or not other.same(event):
                    self._diverge(event, other, evidence, DIVERGED)
            if self._number == self._until:
                self._diverge(event, other, evidence if self._target else None, TARGET_REACHED)
            if self._is_last(event):
                self._exit(TARGET_REACHED)

    def record_written(self, record: Record) -> None:
        """Takes in a record of the ledger as it was written."""
        tensors: dict[str, dict[str, str]] = {section: dict(held) for section, held in record.tensors.items()}
        if record.kind == "fit":
            kept = {n: record.extra.get(n) for n in ("data", "validation_data", "configuration", "arguments")}
            self.note(Event(kind="fit", key=record.position, value=kept))
            self._places.clear()
        elif record.kind in ("evaluation", "prediction"):
            self.note(Event(kind="data", key=record.position, value=record.extra.get("data")))
        extra: dict[str, Any] = {"seeds_set": record.extra.get("seeds_set")} if record.kind == "fit" else {}
        value: Any = tensors or dict(record.sections)
        self.check(
            Event(kind="record", key=record.position, value=value, info=extra | {"kind": record.kind}),
            evidence=self._of_model,
        )

    @contextlib.contextmanager
    def in_keras(self) -> Iterator[None]:
        """What runs in the block is a method of Keras's own: no step of a loop by hand."""
        self.inside_keras += 1
        try:
            yield
        finally:
            self.inside_keras -= 1

    def method_called(self, method: str, frame: Any, model: Any) -> None:
        """Takes in that a method of a model was called, by which line, and for results with which weights."""
        if method in ("evaluate", "predict") and not self.inside_keras and getattr(model, "built", False):
            self.note(Event(kind="weights", key=method, value=self._weights(model)))
        line = user_call_site(frame)
        if line is not None and method != "made":
            key = f"{method} {line.file}:{line.line}"
            self.note(Event(kind="call", key=key, value=None, info={"source": line.to_dict()}))

    def position(self, model: Any) -> str:
        """Where a model's next step stands: numbers of the fit, of the epoch and of the step in it."""
        fit, epoch, step = self._places.setdefault(id(model), [_NO_FIT, 0, 0])
        return f"{fit} {epoch} {step}"

    def count_steps(self, model: Any, steps: int) -> None:
        """Counts the steps that a call has made."""
        self._places[id(model)][2] += steps

    def begin_epoch(self, model: Any, fit: int, epoch: int, steps: int | None) -> None:
        """Hears that an epoch begins, and how many steps it will have, if that is known."""
        self._places[id(model)] = [fit, epoch, 0]
        self._steps = steps
        self.model = model

    def steps_left(self, place: str) -> int:
        """How many steps an epoch would have after the one at a place, as far as that is known."""
        step = int(place.split()[2])
        return max(0, self._steps - step - 1) if self._steps is not None else sys.maxsize

    def close(self) -> None:
        """Ends the looking; the script is over."""
        self._stop_probes()
        self._writer.close()

    def _stop_probes(self) -> None:
        self.active = False
        self.lines.stop()
        self.files.stop()

    def _of_model(self) -> dict[str, Any]:
        from keras_repro.training.state.walk import model_state

        if self.model is None:
            return {}
        return {
            "models": describe_owners(self.sites, self.model, model_state(self.model)),
            "layers": describe_layers(self.sites, self.model),
        }

    def _weights(self, model: Any) -> str | None:
        from keras_repro.training.state.fast_reader import StateReader

        reader = self._readers.pop(id(model), None) or StateReader(model)
        self._readers[id(model)] = reader
        while len(self._readers) > _MOST_READERS:
            del self._readers[next(iter(self._readers))]
        reader.refresh(full=False)
        return reader.digests().get("weights")

    def _is_last(self, event: Event) -> bool:
        if self._last is None or event.kind != "record":
            return False
        return event.key == f"epoch {self._last['fit']} {self._last['epoch']}"

    def _diverge(self, event: Event, other: Event | None, evidence: Evidence | None, code: int) -> None:
        self._stop_probes()  # our own calls must not appear in the trace
        found: dict[str, Any] = {}
        if evidence is not None:
            try:
                found = evidence()
            except Exception as error:  # evidence that cannot be had is no reason to lose the rest
                found = {"error": one_line_error(error)}
        parting = {
            "number": self._number,
            "event": event.to_dict(),
            "other": None if other is None else other.to_dict(),
            "parted": code == DIVERGED,
            "differences": self._differences,
            "threads": [line.to_dict() for line in self.sites.running_threads()],
            **found,
        }
        (self.folder / DIVERGENCE_NAME).write_text(json.dumps(parting))
        self._exit(code)

    def _exit(self, code: int) -> None:
        self._writer.close()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(ValueError, OSError):  # the script may have closed it
                stream.flush()
        os._exit(code)


def _soft_differences(number: int, mine: Sequence[Event], others: Sequence[Event]) -> list[dict[str, Any]]:
    """What differs between the soft events of two intervals, in the order of the first."""
    known: dict[tuple[str, str], list[Event]] = {}
    for event in others:
        known.setdefault((event.kind, event.key), []).append(event)
    found = []
    for event in mine:
        waiting = known.get((event.kind, event.key))
        other = waiting.pop(0) if waiting else None
        if other is None or not other.same(event):
            found.append(_difference(number, event, other))
    for left in known.values():
        found += [_difference(number, None, event) for event in left]
    return found


def _difference(number: int, mine: Event | None, other: Event | None) -> dict[str, Any]:
    event = mine or other
    assert event is not None
    return {
        "interval": number,
        "kind": event.kind,
        "key": event.key,
        "mine": None if mine is None else {"value": mine.value, "info": mine.info},
        "other": None if other is None else {"value": other.value, "info": other.info},
    }
