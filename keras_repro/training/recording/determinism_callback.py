"""`DeterminismCallback`: hashes the complete state in any `model.fit`, and finds divergence early.

>>> keras.utils.set_random_seed(1)
>>> _ = build_model().fit(x, y, callbacks=[kr.DeterminismCallback("runs/a")], verbose=0)
>>> keras.utils.set_random_seed(1)
>>> again = kr.DeterminismCallback("runs/b", reference="runs/a")
>>> _ = build_model().fit(x, y, callbacks=[again], verbose=0)
>>> again.divergence is None
True
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import keras

from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.live import LiveComparison
from keras_repro.errors import DivergenceError, RunFolderError
from keras_repro.ledger.schema import Record
from keras_repro.training.backends.active import backend
from keras_repro.training.portable.mode import portability_of
from keras_repro.training.recording.batch_observer import BatchObserver
from keras_repro.training.recording.callback_order import FirstInLine, changing_after
from keras_repro.training.recording.fit_recorder import FitRecorder
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.recording.weight_snapshots import Keep, check_keep
from keras_repro.training.state.digests import log_digests

OnDivergence = Literal["stop", "raise", "warn"]
Every = Literal["epoch", "step"] | int

_ACTIONS = ("stop", "raise", "warn")


class FitCallback(keras.callbacks.Callback):
    """Records each fit that it is given to into a run that somebody else owns.

    Args:
        run: the run.
        details: fields of the `fit` record, such as `data` and `arguments`.
        order: gives the digest of an epoch's data order, where the order is ours.
        on_epoch: is told each epoch's index as it begins.
        unborn: as for `FitRecorder`.
        every: as for `DeterminismCallback`.
        batches: whether the batches of recorded steps are looked at too.
        reference: a run folder or ledger to compare with while training, or None.
        on_divergence: what to do at the first record that differs from the reference.

    Attributes:
        divergence: the `Divergence` from the reference, None as long as there is none.
    """

    def __init__(
        self,
        run: RunRecorder,
        *,
        details: Mapping[str, Any] | None = None,
        order: Callable[[int], str] | None = None,
        on_epoch: Callable[[int], None] | None = None,
        unborn: Callable[[Any], bool] | None = None,
        reference: str | os.PathLike[str] | None = None,
        on_divergence: OnDivergence = "stop",
        every: Every = "epoch",
        batches: bool = False,
    ) -> None:
        super().__init__()
        self.run = run
        self._on_epoch = on_epoch
        self.fit: FitRecorder | None = None
        self.divergence: Divergence | None = None
        self.on_divergence = on_divergence
        self._live = None if reference is None else live_comparison(run.folder, reference)
        self._pending: Divergence | None = None
        self._details = dict(details or {})
        self._order = order
        self._unborn = unborn
        self._first: FirstInLine | None = None
        self._began = 0.0
        self._every = steps_between(every)
        self._batches = batches
        self._epoch = self._heard = 0
        self._iterator: Any = None
        self._watch: BatchObserver | None = None
        self._looked_at_graph = self.stopped_by_us = False
        if self._live is not None:
            run.listener = self._hear

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint so far, None before the first fit.

        It is `-partial` while a fit is under way, and after one that a divergence stopped.
        """
        ended = self.fit is not None and self.fit.ended
        return self.run.fingerprint(partial=not ended or self.stopped_by_us)

    def on_train_begin(self, logs: Any = None) -> None:
        """Records the fit and its start; a difference there is acted on at once."""
        self._looked_at_graph = self.stopped_by_us = False
        if self.fit is not None:
            self.fit.release()  # of a fit that failed nobody told us
        self.fit = None
        callbacks = backend.trainer.calling_list(sys._getframe(1))
        notes = self._placement(callbacks)
        with self.run.guarded("the start of a fit"):
            self._first = FirstInLine.put_into(callbacks)
            self.fit = FitRecorder(
                self.run, self.model, order=self._order, unborn=self._unborn, steps=self._every > 0
            )
            params = {k: v for k, v in (self.params or {}).items() if k in ("epochs", "steps")}
            arguments = {k: None if v is None else int(v) for k, v in params.items()}
            details = {"data": {"kind": "not seen"}, "notes": notes} | self._details
            if self._every:
                self._iterator = backend.trainer.calling_epoch_iterator(sys._getframe(1))
                seen = "seen" if self._watch_batches() else "not seen"
                details = {"steps_recorded": self._every, "batches": seen} | details
            details["arguments"] = arguments | dict(details.get("arguments", {}))
            self.fit.start(**details)
        self._act()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Takes the time."""
        if self._on_epoch is not None:
            self._on_epoch(epoch)
        self._epoch, self._heard = epoch, 0
        if self._watch is not None:
            self._watch.install()
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Records the step, where steps are asked for and this one is due."""
        super().on_train_batch_end(batch, logs)
        if not self._every:
            return
        last = batch - backend.trainer.steps_not_made(self._iterator)
        due = self._is_due(last + 1)
        self._heard = last + 1
        if due and self.fit is not None and self.run.broken is None:
            try:
                seen = None if self._watch is None else self._watch.seen()
                self.fit.step(self._epoch, last, (logs or {}).get("loss"), batch=seen)
            except Exception as error:
                self.run.failed(f"step {last} of epoch {self._epoch}", error)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Records the epoch and acts on a difference."""
        seconds = round(time.perf_counter() - self._began, 6)
        if self.fit is not None and self.run.broken is None:
            with self.run.guarded(f"epoch {epoch + 1}"):
                self._record_epoch(self.fit, epoch, dict(logs or {}), seconds)
        self._act()

    def on_train_end(self, logs: Any = None) -> None:
        """Records the state that the fit leaves behind, and acts on a difference."""
        self.end("stopped" if self.stopped_by_us else "finished")
        self._act()

    def end(self, status: str, **details: Any) -> None:
        """Ends the record of the fit that is under way, if there is one."""
        self._iterator = None
        if self._watch is not None:
            self._watch.uninstall()
            self._watch = None
        if self._first is not None:
            self._first.leave()
        if self.fit is not None:
            with self.run.guarded("the end of a fit"):
                self.fit.end(status, **details)

    def abandon(self) -> None:
        """Ends the fit that is under way without a record: it will be gone on with."""
        if self.fit is None or self.fit.ended:
            return
        fit, self.fit = self.fit, None
        self.end("stopped")
        fit.release()

    def _is_due(self, steps: int) -> bool:
        """Whether a record is due once an epoch has made so many steps."""
        return steps // self._every > self._heard // self._every

    def _watch_batches(self) -> bool:
        if self._watch is not None:
            self._watch.uninstall()  # of a fit that failed nobody told us
        self._watch = None
        if self._batches and self._iterator is not None:
            at_once = int(self._iterator.steps_per_execution or 1)
            self._watch = BatchObserver.of(
                self.model,
                self._iterator,
                due=lambda: self.run.broken is None and self._is_due(self._heard + at_once),
            )
        return self._watch is not None

    def _record_epoch(self, fit: FitRecorder, epoch: int, seen: dict[str, Any], seconds: float) -> None:
        own = self._first.logs if self._first is not None else seen
        added = {n: v for n, v in seen.items() if n not in own or not _same(own[n], v)}
        details: dict[str, Any] = {"seconds": seconds}
        if not self._looked_at_graph:
            self._looked_at_graph = True
            random_operations = backend.graphs.stateful_random_operations(self.model)
            if random_operations:
                details["stateful_random_operations"] = random_operations
            portability = portability_of(self.model)
            if portability is not None:
                details["portability"] = portability
        fit.epoch(epoch, own, added=added, **details)

    def _placement(self, callbacks: Any) -> list[str]:
        after = changing_after(self, callbacks)
        if not after:
            return []
        me = type(self).__name__
        note = (
            f"{', '.join(after)} after {me} may change weights or logs that it has recorded "
            f"already: put {me} last"
        )
        warnings.warn(f"keras_repro: {note}", stacklevel=2)
        return [note]

    def _hear(self, record: Record) -> None:
        if self._live is not None and self.divergence is None:
            self.divergence = self._pending = self._live.check(record, self.run.ledger.header)

    def _act(self) -> None:
        found, self._pending = self._pending, None
        if found is None:
            return
        message = f"parted from the reference {found.describe()}"
        if self.on_divergence == "raise":
            self.stopped_by_us = True
            self.end("stopped", reason="diverged")
            raise DivergenceError(message, found)
        if self.on_divergence == "stop":
            self.stopped_by_us = True
            self.model.stop_training = True
            message += "; the training stops here"
        warnings.warn(f"keras_repro: {message}", stacklevel=2)


class DeterminismCallback(FitCallback):
    """Records the complete state of a training, and compares it live with an earlier one.

    The state is hashed at the start of fit, after each epoch and at the end: one digest per tensor, one per
    section. Put it last in the list of callbacks.

    Args:
        run_dir: the run folder; must not hold a run yet. Used for several fits, it numbers them.
        reference: a run folder or ledger to compare with while training, or None.
        every: `"epoch"`, or also `"step"`, or a whole number N for every N-th step: the state and the loss
            after a step, in a line of its own that is no part of the fingerprint (docs/performance.md says
            what it costs). Where Keras runs several steps in one call, the last of them.
        on_divergence: what to do at the first record that differs: `"stop"` the training after it,
            `"raise"` a `DivergenceError`, or `"warn"` and go on.
        overwrite: whether a run in `run_dir` may be replaced.
        seed: the seed that you set, for the report.
        sketches: whether small sketches of the weights are written at each record, from which `compare` tells
            how far two runs are apart.
        keep: snapshots of the weights to keep in the run folder, for exact distances: `"all"` (after each
            epoch), `"last"`, a list of epochs (counted from 1, as Keras prints them), or None.

    Attributes:
        divergence: the `Divergence` from the reference, None as long as there is none.

    Raises:
        ValueError: `on_divergence` is none of the three, or `every` or `keep` nothing of the above.
        RunFolderError: `run_dir` holds a run already, or cannot be made.
        LedgerError: the reference cannot be read.

    >>> keras.utils.set_random_seed(1)
    >>> callback = kr.DeterminismCallback("runs/a", seed=1)
    >>> _ = build_model().fit(x, y, epochs=2, callbacks=[callback], verbose=0)
    >>> callback.fingerprint
    'kr1-sm-...'
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        *,
        every: Every = "epoch",
        reference: str | os.PathLike[str] | None = None,
        on_divergence: OnDivergence = "stop",
        overwrite: bool = False,
        seed: int | None = None,
        sketches: bool = True,
        keep: Keep = None,
    ) -> None:
        check_action(on_divergence)
        steps_between(every)
        check_keep(keep)
        run = RunRecorder(
            run_dir,
            coverage="sm",
            overwrite=overwrite,
            details={"seed": seed},
            sketches=sketches,
            keep=keep,
        )
        super().__init__(run, reference=reference, on_divergence=on_divergence, every=every)


def check_action(on_divergence: str) -> None:
    """Raises a ValueError where `on_divergence` is none of the three that there are."""
    if on_divergence not in _ACTIONS:
        known = ", ".join(map(repr, _ACTIONS))
        raise ValueError(f"on_divergence must be one of {known}, received {on_divergence!r}")


def steps_between(every: Any) -> int:
    """How many steps there are from one step record to the next, 0 where there shall be none.

    Raises:
        ValueError: `every` is neither `"epoch"`, nor `"step"`, nor a whole number from 1 on.
    """
    if every in ("epoch", "step"):
        return int(every == "step")
    if not isinstance(every, int) or isinstance(every, bool) or every < 1:
        raise ValueError(
            f"every must be 'epoch', 'step' or a whole number of steps from 1 on, received {every!r}"
        )
    return every


def live_comparison(folder: Path, reference: str | os.PathLike[str]) -> LiveComparison:
    """Opens a reference to compare with, which must be another run."""
    if folder.resolve() in (Path(reference).resolve(), Path(reference).resolve().parent):
        raise RunFolderError(f"the reference is the run folder itself: {folder}")
    return LiveComparison(reference)


def _same(a: Any, b: Any) -> bool:
    return a is b or log_digests({"": a}) == log_digests({"": b})
