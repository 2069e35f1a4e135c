"""`FitCallback`: record each fit into a run."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.live import LiveComparison
from keras_repro.errors import DivergenceError, RunFolderError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Record
from keras_repro.training.backends.active import backend
from keras_repro.training.data.batch_observer import BatchObserver
from keras_repro.training.graph.traced_step import FirstTrace
from keras_repro.training.portable.mode import portability_of
from keras_repro.training.recording.callback_order import ModelLogs, late_callbacks
from keras_repro.training.recording.fit_recorder import FitRecorder
from keras_repro.training.recording.recorded_part import RecordedPart
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.state.digests import log_digests


class FitCallback(keras.callbacks.Callback):
    """Record each fit into a run, and compare it with the run's reference.

    Args:
        run: the run; its `options` apply.
        new_part: returns the part of the run that a fit becomes, None for one that is written at once.
        details: fields of the `fit` record, such as `data` and `arguments`.
        order: returns the digest of an epoch's data order; None if the order is not ours.
        on_epoch: called with each epoch's index as it begins.
        created_during_fit: as for `FitRecorder`.

    Attributes:
        run: the run.
        fit: the recorder of the current fit, None before the first.
        divergence: the `Divergence` from the reference, None as long as there is none.
        stopped_by_us: whether a divergence stopped the fit.
    """

    def __init__(
        self,
        run: RunRecorder,
        *,
        new_part: Callable[[], RecordedPart] | None = None,
        details: Mapping[str, Any] | None = None,
        order: Callable[[int], str] | None = None,
        on_epoch: Callable[[int], None] | None = None,
        created_during_fit: Callable[[Any], bool] | None = None,
    ) -> None:
        super().__init__()
        self.run = run
        self.fit: FitRecorder | None = None
        self.divergence: Divergence | None = None
        self.stopped_by_us = False
        self._new_part = new_part or (lambda: RecordedPart(run))
        self._part = RecordedPart(run)
        self._details = dict(details or {})
        self._order, self._on_epoch = order, on_epoch
        self._created_during_fit = created_during_fit
        self._step_interval = run.options.step_interval
        self._pending: Divergence | None = None  # not yet acted on
        self._model_logs: ModelLogs | None = None
        self._epoch_began = 0.0
        self._epoch = self._steps_seen = 0
        self._iterator: Any = None
        self._observer: BatchObserver | None = None
        self._trace: FirstTrace | None = None
        self._graph_checked = False
        self._live: LiveComparison | None = None
        if run.options.reference is not None:
            self._live = _live_comparison(run.folder, run.options.reference)
            run.listener = self._compare

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint so far, None before the first fit.

        It ends in `-partial` during a fit, and after a fit that a divergence stopped.
        """
        ended = self.fit is not None and self.fit.ended
        return self.run.fingerprint(partial=not ended or self.stopped_by_us)

    def on_train_begin(self, logs: Any = None) -> None:
        """Record the fit and its start."""
        self._graph_checked = self.stopped_by_us = False
        if self.fit is not None:
            self.fit.release()  # Keras does not call on_train_end when fit fails.
        self.fit = None
        self._part = self._new_part()
        callbacks = backend.trainer.calling_list(sys._getframe(1))
        notes = self._order_notes(callbacks)
        with self._part.guarded("the start"):
            self._model_logs = ModelLogs.insert_into(callbacks)
            self.fit = FitRecorder(
                self._part,
                self.model,
                order=self._order,
                created_during_fit=self._created_during_fit,
                steps=self._step_interval > 0,
            )
            params = {k: v for k, v in (self.params or {}).items() if k in ("epochs", "steps")}
            arguments = {k: None if v is None else int(v) for k, v in params.items()}
            details = {"data": {"kind": "not seen"}, "notes": notes} | self._details
            if self._step_interval:
                self._iterator = backend.epoch_entry.calling_epoch_iterator(sys._getframe(1))
                batches = "seen" if self._observe_batches() else "not seen"
                details = {"steps_recorded": self._step_interval, "batches": batches} | details
            details["arguments"] = arguments | dict(details.get("arguments", {}))
            self.fit.start(**details)
            if getattr(self.model, "train_function", None) is not None:
                self._trace = FirstTrace(self.model, self._note_trace)
                self._trace.install()
        self._handle_divergence()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock and the observation of batches."""
        if self._on_epoch is not None:
            self._on_epoch(epoch)
        self._epoch, self._steps_seen = epoch, 0
        if self._observer is not None:
            self._observer.install()
        self._epoch_began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record the step if it is due."""
        super().on_train_batch_end(batch, logs)
        if not self._step_interval:
            return
        entry = backend.epoch_entry
        last = entry.last_step(self._iterator, batch) - entry.steps_not_made(self._iterator)
        due = self._is_due(last + 1)
        self._steps_seen = last + 1
        if due and self.fit is not None and self._part.is_open:
            try:
                digests = None if self._observer is None else self._observer.seen()
                self.fit.step(self._epoch, last, (logs or {}).get("loss"), batch=digests)
            except Exception as error:
                self._part.failed(f"step {last + 1} of epoch {self._epoch + 1}", error)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Record the epoch, and act on a divergence."""
        seconds = round(time.perf_counter() - self._epoch_began, 6)
        if self.fit is not None and self._part.is_open:
            with self._part.guarded(f"epoch {epoch + 1}"):
                self._record_epoch(self.fit, epoch, dict(logs or {}), seconds)
        self._handle_divergence()

    def on_train_end(self, logs: Any = None) -> None:
        """Record the state at the end of the fit, and act on a divergence."""
        self.end("stopped" if self.stopped_by_us else "finished")
        self._handle_divergence()

    def end(self, status: str, **details: Any) -> None:
        """End the record of the current fit, if there is one."""
        self._iterator = None
        self._stop_observing()
        if self._trace is not None:
            self._trace.uninstall()
        if self._model_logs is not None:
            self._model_logs.remove()
        if self.fit is not None:
            with self._part.guarded("the end"):
                self.fit.end(status, **details)

    def abandon(self) -> None:
        """End the current fit without a record: it will be resumed."""
        if self.fit is None or self.fit.ended:
            return
        fit, self.fit = self.fit, None
        self.end("stopped")
        fit.release()

    def _is_due(self, steps: int) -> bool:
        """Return whether a step record is due after this many steps of the epoch."""
        return steps // self._step_interval > self._steps_seen // self._step_interval

    def _observe_batches(self) -> bool:
        self._stop_observing()  # Keras does not call on_train_end when fit fails.
        if self.run.options.batches and self._iterator is not None:
            self._observer = BatchObserver.of(
                self.model,
                self._iterator,
                due=lambda steps: self._part.is_open and self._is_due(self._steps_seen + steps),
            )
        return self._observer is not None

    def _stop_observing(self) -> None:
        if self._observer is not None:
            self._observer.uninstall()
            self._observer = None

    def _note_trace(self, graph: Any) -> None:
        if self.fit is not None and self._part.is_open:
            with self._part.guarded("the first step"):
                self.fit.trace(graph)

    def _record_epoch(self, fit: FitRecorder, epoch: int, logs: dict[str, Any], seconds: float) -> None:
        own = self._model_logs.logs if self._model_logs is not None else logs
        added = {n: v for n, v in logs.items() if n not in own or not _is_same(own[n], v)}
        details: dict[str, Any] = {"seconds": seconds}
        if not self._graph_checked:
            self._graph_checked = True
            random_operations = backend.graphs.stateful_random_operations(self.model)
            if random_operations:
                details["stateful_random_operations"] = random_operations
            portability = portability_of(self.model)
            if portability is not None:
                details["portability"] = portability
        fit.epoch(epoch, own, added=added, **details)

    def _order_notes(self, callbacks: Any) -> list[str]:
        late = late_callbacks(self, callbacks)
        if not late:
            return []
        name = type(self).__name__
        note = (
            f"{', '.join(late)} after {name} may change weights or logs that it has recorded "
            f"already: put {name} last"
        )
        warnings.warn(f"keras_repro: {note}", stacklevel=2)
        return [note]

    def _compare(self, record: Record) -> None:
        if self._live is not None and self.divergence is None:
            self.divergence = self._pending = self._live.check(record, self.run.ledger.header)

    def _handle_divergence(self) -> None:
        divergence, self._pending = self._pending, None
        if divergence is None:
            return
        message = f"diverged from the reference {divergence.describe()}"
        action = self.run.options.on_divergence
        if action == "raise":
            self.stopped_by_us = True
            self.end("stopped", reason="diverged")
            raise DivergenceError(message, divergence)
        if action == "stop":
            self.stopped_by_us = True
            self.model.stop_training = True
            message += "; the training stops here"
        warnings.warn(f"keras_repro: {message}", stacklevel=2)


def _live_comparison(folder: Path, reference: str | os.PathLike[str]) -> LiveComparison:
    if folder.resolve() in (Path(reference).resolve(), Path(reference).resolve().parent):
        raise RunFolderError(f"the reference is the run folder itself: {folder}")
    return LiveComparison(open_ledger(reference))


def _is_same(first: Any, second: Any) -> bool:
    return first is second or log_digests({"": first}) == log_digests({"": second})
