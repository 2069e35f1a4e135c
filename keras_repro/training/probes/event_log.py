"""Record the events of a diagnosing process, and compare them with a reference trace while it runs.

The first process only writes its trace. Each later one compares its events with a trace; at the first checked
event that differs it collects the evidence, while it still holds the state from before that event, writes
`divergence.json`, and exits.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_repro.ledger.schema import Record
from keras_repro.processes.protocol import DIVERGED, TARGET_REACHED
from keras_repro.source_code.call_site import user_call_site
from keras_repro.storage.atomic_files import open_to_write
from keras_repro.storage.divergence_report import (
    Difference,
    DivergenceReport,
    StateEvidence,
    context_differences,
)
from keras_repro.storage.run_folder import DIVERGENCE_NAME, TRACE_NAME
from keras_repro.storage.trace_file import (
    CallEvent,
    CheckedEvent,
    ContextEvent,
    DataEvent,
    FitEvent,
    Interval,
    RecordEvent,
    StepPosition,
    TraceWriter,
    WeightsEvent,
    read_trace,
)
from keras_repro.training.probes.construction_sites import ConstructionSites
from keras_repro.training.probes.file_access import FileReads
from keras_repro.training.probes.line_tracer import LineTracer
from keras_repro.training.state.walk import model_state
from keras_repro.utils.process_end import end_process
from keras_repro.utils.text import one_line_error

if TYPE_CHECKING:
    from keras_repro.training.probes.variable_probe import VariableProbe

_MAX_DIFFERENCES = 3000
_MAX_READERS = 2  # each keeps its model alive
_NO_FIT = -1

CollectEvidence = Callable[[], StateEvidence]


class EventLog:
    """Write the events of a diagnosing process, and exit at the point of divergence or at a target.

    Args:
        folder: the run folder, which gets the trace.
        reference: path of the trace to compare with, or None.
        until: number of the checked event to exit at, or None.
        last: `fit` and `epoch` after whose record to exit, at the latest after the fit; or None.
        replays: whether a step that differs is replayed.
        target: whether to collect the evidence at `until` even if nothing differs.

    Attributes:
        active: whether events are recorded; False once the process has its report.
        keras_depth: how deeply calls of Keras's own training methods are nested.
        lines: the tracer of the user's lines.
        sites: the lines that constructed layers, optimizers, pipelines and threads.
        files: the files that the user's lines read.
        variables: the initial values of variables, once Keras is imported.
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
        self.keras_depth = 0
        self.lines = LineTracer()
        self.sites = ConstructionSites(self.note, self.lines)
        self.files = FileReads(self.note)
        self.model: Any = None
        self._until, self._last, self._target = until, last, target
        self._writer = TraceWriter(folder / TRACE_NAME)
        self._reference: Iterator[Interval] | None = None if reference is None else read_trace(reference)
        self._interval = -1
        self._noted: list[ContextEvent] = []
        self._differences: list[Difference[ContextEvent]] = []
        self._lock = threading.RLock()
        self._positions: dict[int, StepPosition] = {}  # of the next step, by the model's id
        self._readers: dict[int, Any] = {}  # of the models that were evaluated last
        self._steps_of_epoch: int | None = None
        self._pid = os.getpid()

    @property
    def needs_copies(self) -> bool:
        """Whether a step may have to be replayed, so that the state before it is needed."""
        return self._reference is not None or self._target

    def note(self, event: ContextEvent) -> None:
        """Record a context event."""
        if self.active:
            with self._lock:
                self._noted.append(event)

    def check(self, event: CheckedEvent, *, evidence: CollectEvidence | None = None) -> None:
        """Compare a checked event with the reference trace; exit on a mismatch or at the target.

        Args:
            event: the event.
            evidence: collects the evidence if the process exits.
        """
        if not self.active or os.getpid() != self._pid:
            return
        with self._lock:
            self._interval += 1
            context = [*self.lines.take(), *self._noted]
            self._noted = []
            for each in (*context, event):
                self._writer.write(each)
            reference = None
            if self._reference is not None:
                interval = next(self._reference, Interval(context=(), checked=None))
                self._differences += context_differences(self._interval, context, interval.context)
                del self._differences[_MAX_DIFFERENCES:]
                reference = interval.checked
                if reference is None or not reference.matches(event):
                    self._report(event, reference, evidence, diverged=True)
                    self._exit(DIVERGED)
            if self._interval == self._until:
                self._report(event, reference, evidence if self._target else None, diverged=False)
                self._exit(TARGET_REACHED)
            if self._is_last(event):
                self._exit(TARGET_REACHED)

    def record_written(self, record: Record) -> None:
        """Called when a record was written to the ledger."""
        if record.kind == "fit":
            described = {n: record.extra.get(n) for n in ("data", "validation_data")}
            settings = {n: record.extra.get(n) for n in ("configuration", "arguments")}
            self.note(FitEvent(position=record.position, **described, **settings))
            self._positions.clear()
        elif record.kind in ("evaluation", "prediction"):
            self.note(DataEvent(position=record.position, data=record.extra.get("data")))
        self.check(
            RecordEvent(
                position=record.position,
                record_kind=record.kind,
                tensors={section: dict(digests) for section, digests in record.tensors.items()},
                sections={} if record.tensors else dict(record.sections),
                seeds_set=record.extra.get("seeds_set") if record.kind == "fit" else None,
            ),
            evidence=self._model_evidence,
        )

    @contextlib.contextmanager
    def in_keras(self) -> Iterator[None]:
        """Mark the block as a training method of Keras: its steps are not those of a custom loop."""
        self.keras_depth += 1
        try:
            yield
        finally:
            self.keras_depth -= 1

    def method_called(self, method: str, frame: Any, model: Any) -> None:
        """Record the line that calls a method of a model, and for results the model's weights."""
        if method in ("evaluate", "predict") and not self.keras_depth and getattr(model, "built", False):
            self.note(WeightsEvent(method=method, digest=self._weights(model)))
        line = user_call_site(frame)
        if line is not None and method != "create_model":
            self.note(CallEvent(method=method, source=line))

    def position(self, model: Any) -> StepPosition:
        """Return the position of a model's next step."""
        return self._positions.setdefault(id(model), StepPosition(_NO_FIT, 0, 0))

    def count_steps(self, model: Any, steps: int) -> None:
        """Move a model's position on by the steps that a call has made."""
        position = self.position(model)
        self._positions[id(model)] = replace(position, step=position.step + steps)

    def begin_epoch(self, model: Any, fit: int, epoch: int, steps: int | None) -> None:
        """Called at the start of an epoch, with its number of steps if that is known."""
        self._positions[id(model)] = StepPosition(fit, epoch, 0)
        self._steps_of_epoch = steps
        self.model = model

    def steps_left(self, position: StepPosition) -> int:
        """Return how many steps the epoch has after a position, as far as that is known."""
        if self._steps_of_epoch is None:
            return sys.maxsize
        return max(0, self._steps_of_epoch - position.step - 1)

    def close(self) -> None:
        """Stop the probes and close the trace: the script has ended."""
        self._stop_probes()
        self._writer.close()

    def _stop_probes(self) -> None:
        self.active = False
        self.lines.stop()
        self.files.stop()

    def _model_evidence(self) -> StateEvidence:
        if self.model is None:
            return StateEvidence()
        return self.sites.evidence(self.model, model_state(self.model))

    def _weights(self, model: Any) -> str | None:
        from keras_repro.training.state.fast_reader import StateReader

        reader = self._readers.pop(id(model), None) or StateReader(model)
        self._readers[id(model)] = reader
        while len(self._readers) > _MAX_READERS:
            del self._readers[next(iter(self._readers))]
        reader.refresh(full=False)
        return reader.digests().get("weights")

    def _is_last(self, event: CheckedEvent) -> bool:
        if self._last is None or not isinstance(event, RecordEvent):
            return False
        # A fit may end before the epoch.
        fit = self._last["fit"]
        return event.position in (f"epoch {fit} {self._last['epoch']}", f"end {fit}")

    def _report(
        self,
        event: CheckedEvent,
        reference: CheckedEvent | None,
        evidence: CollectEvidence | None,
        *,
        diverged: bool,
    ) -> None:
        self._stop_probes()  # our own calls must not appear in the trace
        collected = StateEvidence()
        if evidence is not None:
            try:
                collected = evidence()
            except Exception as error:  # the rest of the report is still of use
                collected = StateEvidence(error=one_line_error(error))
        report = DivergenceReport(
            interval=self._interval,
            event=event,
            reference=reference,
            diverged=diverged,
            differences=tuple(self._differences),
            threads=tuple(self.sites.running_threads()),
            evidence=collected,
        )
        with open_to_write(self.folder / DIVERGENCE_NAME) as file:
            file.write(report.to_json().encode())

    def _exit(self, code: int) -> None:
        self._writer.close()
        end_process(code)
