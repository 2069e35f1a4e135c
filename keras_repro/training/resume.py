"""Exact resume: the whole state at chosen steps, in files that are there whole or not at all; and back to it.

resume = Resume(folder, every="epoch", resume=True)
resume.found                                      # what a run that was interrupted has left
callback = resume.callback(fit, first_batch, interruptions)    # put last into the callbacks of `fit`

The method: the same program starts again and builds the same model. Its records up to the snapshot are
compared with those that are there; then, once all callbacks have begun the epoch, the whole state is put back
and Keras's epoch is entered at the step behind the snapshot.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras

from keras_repro.errors import LedgerError, ReproError, ResumeError, SnapshotError
from keras_repro.record.folders import LEDGER_NAME, SNAPSHOTS_NAME
from keras_repro.record.ledger import read_ledger
from keras_repro.record.lock import RunLock
from keras_repro.record.snapshot import Snapshot, write_snapshot
from keras_repro.training import entering, keras_api
from keras_repro.training.callback_states import CallbackStates, tell_joined
from keras_repro.training.packing import pack, unpack
from keras_repro.training.run_recorder import RunRecorder
from keras_repro.training.whole_state import WholeState

SnapshotEvery = Literal["epoch"] | int

_Gathered = tuple[dict[str, Any], dict[str, Any]]  # arrays, and what is kept beside them

MARK = "snapshot"
_PREFIX = "resume-"


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where a snapshot stands.

    Attributes:
        epoch: epochs that are over; the index of the one that is under way.
        step: steps of that epoch that are made.
        over: whether the fit has come to its end.
        stopping: whether a callback has asked to stop.
    """

    epoch: int
    step: int = 0
    over: bool = False
    stopping: bool = False

    @property
    def name(self) -> str:
        """As part of a file's name."""
        return "end" if self.over else f"epoch-{self.epoch + 1}-step-{self.step}"


@dataclass(frozen=True, kw_only=True)
class Found:
    """A snapshot that a run can go on from.

    Attributes:
        position: where it stands.
        arrays: all of its arrays by name.
        metadata: what was kept beside them.
    """

    position: Position
    arrays: Mapping[str, Any]
    metadata: Mapping[str, Any]


def check_lasting(run_dir: Any, every: Any, newest: Any, *, ours: bool) -> None:
    """Says what is wrong with the arguments of a run that can be resumed.

    Raises:
        TypeError: there is no run folder, or the data cannot be entered at a position.
        ValueError: an argument is out of its range.
    """
    if run_dir is None:
        raise TypeError("run_dir is missing: a run that can be resumed needs a run folder of its own")
    whole = isinstance(every, int) and not isinstance(every, bool) and every >= 1
    if every is not None and every != "epoch" and not whole:
        raise ValueError(f"snapshot_every must be 'epoch' or a number of steps from 1, received {every!r}")
    if not isinstance(newest, int) or isinstance(newest, bool) or newest < 1:
        raise ValueError(f"snapshots must be a whole number from 1, received {newest!r}")
    if not ours:
        raise TypeError(
            "x must be arrays where a run shall be resumed: a dataset or generator cannot be entered at a "
            "position; give arrays, or train without snapshot_every and resume"
        )


def find(folder: Path) -> Found | None:
    """The newest snapshot of a run folder that is whole; None where there is none.

    A snapshot counts that the ledger names, with the digest that the ledger gives; where a newer one is
    damaged or gone, a warning says so, and the next older one is taken.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    marks = [r for r in read_ledger(folder).records() if r.get("kind") == MARK]
    for mark in reversed(marks):
        try:
            return _read(folder, mark)
        except ReproError as error:
            path = folder / SNAPSHOTS_NAME / str(mark.get("file"))
            # Older ones are removed on purpose: only the newest is missed.
            if mark is marks[-1] or path.exists():
                warnings.warn(f"keras_repro: {error}; trying the snapshot before it", stacklevel=2)
    return None


def _read(folder: Path, mark: Mapping[str, Any]) -> Found:
    name, digest = mark.get("file"), mark.get("digest")
    if not isinstance(name, str) or Path(name).name != name or not isinstance(digest, str):
        raise SnapshotError(f"{folder}: the ledger names a snapshot as none can be named")
    with Snapshot(folder / SNAPSHOTS_NAME / name, digest=digest) as snapshot:
        arrays = {n: snapshot.array(n) for n in snapshot.arrays}
        metadata = snapshot.metadata
    try:
        return Found(position=Position(**metadata["position"]), arrays=arrays, metadata=metadata)
    except (KeyError, TypeError):
        raise SnapshotError(f"{folder / SNAPSHOTS_NAME / name} is no snapshot to resume from") from None


class Resume:
    """Holds a run folder, takes the snapshots of its fit, and finds what to go on from.

    Args:
        folder: the run folder.
        every: `"epoch"`, or a number of steps.
        resume: whether to go on with a run that is there.
        newest: how many snapshots are kept.
        background: whether the training goes on while a snapshot is written.

    Attributes:
        goes_on: whether there is a run to go on with.
        found: the snapshot to go on from; None where it begins at its start.

    Raises:
        RunFolderError: the folder is in use.
        ResumeError: the run that is there was ended on purpose.
        LedgerError: it cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every: SnapshotEvery,
        resume: bool,
        newest: int = 2,
        background: bool = False,
    ) -> None:
        self.every, self._newest, self._background = every, newest, background
        self._folder = folder / SNAPSHOTS_NAME
        self._thread: threading.Thread | None = None
        self._run: RunRecorder | None = None
        self.found: Found | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = RunLock(folder)
        self.goes_on = resume and (folder / LEDGER_NAME).exists()
        if self.goes_on:
            if read_ledger(folder).status == "stopped":
                raise ResumeError(f"{folder} holds a run that was stopped on purpose: choose another folder")
            self.found = find(folder)
        held = list(self._folder.glob(f"{_PREFIX}*"))
        for stale in held if not self.goes_on else ():
            stale.unlink()
        self._kept = sorted((p for p in held if p.suffix == ".h5" and p.exists()), key=_age)

    def begins(self, epochs: int) -> tuple[int, int]:
        """The epoch and the step at which Keras begins; behind the last epoch where nothing is left."""
        assert self.found is not None
        position = self.found.position
        over = position.stopping or position.over
        return (epochs, 0) if over else (min(position.epoch, epochs), position.step)

    def callback(self, fit: Any, first_batch: Callable[[], Any], interruptions: Any) -> ResumeCallback:
        """What goes behind all other callbacks of the fit.

        Args:
            fit: the `FitCallback` of the run.
            first_batch: gives `(x, y, sample_weight)` of one batch.
            interruptions: the `Interruptions` to act on.
        """
        self._run = fit.run
        return ResumeCallback(self, fit, first_batch, interruptions)

    def close(self) -> None:
        """Waits for the last snapshot, and lets go of the folder."""
        self.wait()
        self._lock.close()

    def take(self, position: Position, arrays: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Writes a snapshot, names it in the ledger, and removes the oldest.

        Where that fails, a warning says so: the training goes on, older snapshots stay.
        """
        assert self._run is not None
        self.wait()
        metadata = {"position": vars(position), "link": self._run.ledger.link, **metadata}
        if self._background:
            name = "keras_repro snapshot"
            self._thread = threading.Thread(target=self._write, args=(position, arrays, metadata), name=name)
            self._thread.start()
        else:
            self._write(position, arrays, metadata)

    def wait(self) -> None:
        """Waits until the last snapshot is written."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _write(self, position: Position, arrays: dict[str, Any], metadata: dict[str, Any]) -> None:
        assert self._run is not None
        path = self._folder / f"{_PREFIX}{position.name}.h5"
        try:
            self._folder.mkdir(exist_ok=True)
            digest = write_snapshot(path, arrays, metadata=metadata)
            ledger = self._run.ledger
            ledger.mark(MARK, file=path.name, digest=digest, epoch=position.epoch, step=position.step)
            ledger.sync()
        except (ReproError, OSError) as error:
            warnings.warn(
                f"keras_repro: no snapshot: {error}; the training goes on, older snapshots in {self._folder} "
                "stay",
                stacklevel=2,
            )
            return
        self._kept = [*(p for p in self._kept if p != path), path]
        for old in self._kept[: -self._newest]:
            with contextlib.suppress(OSError):
                old.unlink(missing_ok=True)
        self._kept = self._kept[-self._newest :]


class ResumeCallback(keras.callbacks.Callback):
    """Behind all other callbacks: puts the state back where a run goes on, and takes it where it is due.

    Args:
        resume: takes the snapshots.
        fit: the `FitCallback` of the run.
        first_batch: gives `(x, y, sample_weight)` of one batch.
        interruptions: the `Interruptions` to act on.
    """

    def __init__(self, resume: Resume, fit: Any, first_batch: Callable[[], Any], interruptions: Any) -> None:
        super().__init__()
        self._interruptions = interruptions
        self._before_test: _Gathered | None = None
        self._was_over = resume.found is not None and resume.found.position.over
        self._resume, self._fit, self._first_batch = resume, fit, first_batch
        self._epoch = self._step = 0
        self._logs: dict[str, Any] = {}
        self._warned: set[str] = set()
        self._steps: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Sees what callbacks keep; goes back to a snapshot that stands between two epochs.

        What callbacks do as an epoch begins (a learning rate that they set) is then still to be done.
        """
        listed = keras_api.calling_list(sys._getframe(1))
        # Behind History, which Keras adds. It goes through the list as it was.
        listed.callbacks = [*(c for c in listed.callbacks if c is not self), self]
        others = [c for c in listed.callbacks if not _is_ours(c)]
        self._state, self._callbacks = WholeState(self.model), CallbackStates(others)
        found = self._resume.found
        self._steps = (self.params or {}).get("steps")
        if found is not None and found.position.step == 0:
            self._put(found, keras_api.calling_epoch_iterator(sys._getframe(1)))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Goes back to a snapshot from within this epoch, behind what callbacks did as it began."""
        self._epoch, self._step = epoch, 0
        found = self._resume.found
        if found is None:
            return
        iterator = keras_api.calling_epoch_iterator(sys._getframe(1))
        self._put(found, iterator)
        step = found.position.step
        if self._steps is not None and step >= self._steps:
            entering.finish(self.model, iterator, unpack(found.metadata["logs"], found.arrays))
        else:
            entering.enter(iterator, step=step)
        self._step = step

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Takes a snapshot where one is due."""
        before, self._step, self._logs = self._step, batch + 1, dict(logs or {})
        if self._interruptions.asked:
            self._take(Position(epoch=self._epoch, step=self._step))
            self._interruptions.leave()
        every = self._resume.every
        if every == "epoch" or (self._steps is not None and self._step >= self._steps):
            return  # after the epoch's last step: at its end
        done = self._epoch * (self._steps or 0)
        if (done + self._step) // int(every) > (done + before) // int(every):
            self._take(Position(epoch=self._epoch, step=self._step))

    def on_test_begin(self, logs: Any = None) -> None:
        """Keeps the state before validation, where an interruption would go back to."""
        self._before_test = self._gathered()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Leaves where that is asked for: validation begins anew when the run goes on."""
        if self._interruptions.asked:
            self._take(Position(epoch=self._epoch, step=self._step), self._before_test)
            self._interruptions.leave()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Takes a snapshot behind the epoch's record."""
        self._before_test = None
        self._epoch, self._step = epoch + 1, 0
        every, done = self._resume.every, self._steps or 0
        due = every == "epoch" or (epoch + 1) * done // int(every) > ((epoch + 1) * done - 1) // int(every)
        if due or self._interruptions.asked or self.model.stop_training:
            self._take(Position(epoch=epoch + 1, stopping=bool(self.model.stop_training)))
        if self._interruptions.asked:
            self._interruptions.leave()

    def over(self) -> None:
        """Takes the snapshot of the end, once the fit has returned."""
        if self._was_over:
            return
        self._take(Position(epoch=self._epoch, over=True, stopping=bool(self.model.stop_training)))
        self._resume.wait()
        if self._interruptions.asked:
            self._interruptions.leave()

    def _gathered(self) -> _Gathered:
        arrays, metadata = self._state.take()
        metadata["callbacks"] = self._callbacks.take(arrays)
        metadata["logs"] = pack(_plain(self._logs), arrays, "logs")
        metadata["record"] = self._fit.fit.kept()
        return arrays, metadata

    def _take(
        self, position: Position, gathered: tuple[dict[str, Any], dict[str, Any]] | None = None
    ) -> None:
        self._warn_of(self._callbacks.inexact())
        try:
            arrays, metadata = gathered or self._gathered()
        except (ReproError, OSError) as error:
            warnings.warn(f"keras_repro: no snapshot: {error}; the training goes on", stacklevel=2)
            return
        self._resume.take(position, arrays, metadata)

    def _put(self, found: Found, iterator: Any = None) -> None:
        self._resume.found = None
        if any(n.split("/")[1] in ("weights", "optimizer") for n in self._state.missing(found.arrays)):
            self._make_variables(iterator)
        self._state.put(found.arrays, found.metadata)
        self._callbacks.put(found.metadata["callbacks"], found.arrays)
        self._fit.fit.go_on(found.metadata["record"])
        ledger: Any = self._fit.run.ledger
        ledger.skip_to(found.metadata["link"])
        if found.position.over:
            self._fit.fit.leave()
        self.model.stop_training = found.position.stopping
        self._epoch = found.position.epoch

    def _make_variables(self, iterator: Any) -> None:
        """Makes one step, of which nothing stays but the variables that it makes."""
        import tensorflow as tf

        data = None if iterator is None else iter(iterator._get_iterator())
        try:
            if data is None:
                raise StopIteration
            self.model.train_function(data)
        except (StopIteration, tf.errors.OutOfRangeError):
            batch = self._first_batch()
            count = int(getattr(self.model, "steps_per_execution", 1) or 1)
            self.model.train_function(iter([batch] * count))

    def _warn_of(self, names: list[str]) -> None:
        for name in names:
            if name not in self._warned:
                self._warned.add(name)
                text = (
                    f"callback {name} keeps what a snapshot does not hold: what it does after a resume may "
                    "differ; give it get_state() and set_state(state)"
                )
                warnings.warn(f"keras_repro: {text}", stacklevel=2)
                with contextlib.suppress(LedgerError):
                    self._fit.run.ledger.mark("note", text=text)


def has_all_weights(model: Any, found: Found) -> bool:
    """Whether a model has made all weights that a snapshot holds."""
    return not any(n.startswith("state/weights/") for n in WholeState(model).missing(found.arrays))


def finished_result(model: Any, callbacks: Sequence[Any], found: Found) -> dict[str, list[Any]]:
    """Puts the end of a finished run into a model that was built alike, and into callbacks that join.

    Returns:
        Its history.
    """
    WholeState(model).put(found.arrays, found.metadata, whole=False)
    tell_joined(callbacks, found.metadata["callbacks"], found.arrays)
    history = next(c["state"] for c in found.metadata["callbacks"] if c["class"] == "History")
    return dict(unpack(history, found.arrays)["history"])


def _age(path: Path) -> int:
    return path.stat().st_mtime_ns


def _is_ours(callback: Any) -> bool:
    return type(callback).__module__.startswith("keras_repro.")


def _plain(logs: Mapping[str, Any]) -> dict[str, Any]:
    return {str(n): float(v) if hasattr(v, "__float__") else v for n, v in logs.items()}
