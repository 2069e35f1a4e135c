"""Exact resume: the whole state at chosen steps, in files that are there whole or not at all; and back to it.

resume = Resume(folder, every="epoch", resume=True)
resume.found                                      # what a run that was interrupted has left
resume.take(position, arrays, metadata)           # a snapshot, named in the ledger

The method: the same program starts again and builds the same model. Its records up to the snapshot are
compared with those that are there; then a `ResumeCallback` puts the whole state back and has Keras enter the
epoch at the step behind the snapshot.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import keras

from keras_repro.errors import ReproError, ResumeError, SnapshotError
from keras_repro.ledger.reader import LedgerReader, discard_unbegun, open_ledger
from keras_repro.storage.atomic_files import make_folder
from keras_repro.storage.plain_values import unpack
from keras_repro.storage.run_folder import LEDGER_NAME, SNAPSHOTS_NAME
from keras_repro.storage.run_lock import RunLock
from keras_repro.storage.snapshot_file import write_snapshot
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.resume.callback_states import tell_joined
from keras_repro.training.resume.restore_point import (
    MARK,
    RestorePoint,
    SnapshotPosition,
    by_age,
    find_restore_point,
)
from keras_repro.training.resume.training_state import TrainingState

SnapshotEvery = Literal["epoch"] | int
OnSnapshotError = Literal["warn", "raise"]

_PREFIX = "resume-"


def check_lasting(run_dir: Any, resume: Any, every: Any, newest: Any, on_error: Any) -> None:
    """Says what is wrong with the arguments of a run that can be resumed.

    Raises:
        TypeError: there is no run folder to go on in.
        ValueError: an argument is out of its range.
    """
    if resume and run_dir is None:
        raise TypeError("run_dir is missing: a run that can be resumed needs a run folder of its own")
    whole = isinstance(every, int) and not isinstance(every, bool) and every >= 1
    if every is not None and every != "epoch" and not whole:
        raise ValueError(f"snapshot_every must be 'epoch' or a number of steps from 1, received {every!r}")
    if not isinstance(newest, int) or isinstance(newest, bool) or newest < 1:
        raise ValueError(f"snapshots must be a whole number from 1, received {newest!r}")
    if on_error not in ("warn", "raise"):
        raise ValueError(f"on_snapshot_error must be one of 'warn', 'raise', received {on_error!r}")


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Says which of the callbacks cannot be there in a run that can be resumed.

    Raises:
        TypeError: one resumes by itself.
    """
    if any(isinstance(c, keras.callbacks.BackupAndRestore) for c in callbacks):
        raise TypeError(
            "callbacks: BackupAndRestore resumes by itself, and not to the same bits: leave it out where "
            "snapshot_every or resume is given"
        )


def check_epochs(found: RestorePoint, epochs: int, folder: Path) -> None:
    """Holds the number of epochs that a fit is asked for against what is there: a record's end stays its end.

    Raises:
        ResumeError: the run is finished and was asked for another number, or it is already beyond this one.
    """
    position, then = found.position, found.metadata.get("epochs") or epochs
    if position.over and then != epochs:
        raise ResumeError(
            f"the run in {folder} was asked for {then} epochs and is finished; now it is {epochs}: ask for "
            f"{then} to get its result, or start anew in another run folder"
        )
    if not position.over and (position.epoch, position.step) > (epochs, 0):
        raise ResumeError(
            f"the run in {folder} is in its epoch {position.epoch + 1}, and was asked for {then}; now it is "
            f"{epochs}: ask for as many or more, or start anew in another run folder"
        )


def check_data(found: LedgerReader, details: Mapping[str, Any]) -> None:
    """Holds the data of a fit against that of the finished one that a ledger holds.

    Args:
        found: the ledger.
        details: what its `fit` record would say now.

    Raises:
        ResumeError: they are others.
    """
    then = next(found.typed_records()).extra
    for name in ("data", "validation_data"):
        if then.get(name) != details.get(name):
            raise ResumeError(
                f"this is not the training that {found.path} recorded: its {name.replace('_', ' ')} are "
                "others; start anew in another run folder"
            )


class Resume:
    """Holds a run folder, takes the snapshots of its fit, and finds what to go on from.

    Args:
        folder: the run folder.
        every: `"epoch"`, or a number of steps.
        resume: whether to go on with a run that is there.
        newest: how many snapshots are kept.
        background: whether the training goes on while a snapshot is written.
        on_error: whether the training goes on where one cannot be written, with a warning.

    Attributes:
        goes_on: whether there is a run to go on with.
        found: the snapshot to go on from; None where it begins at its start.
        run: the run that is recorded there, which somebody else opens.

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
        on_error: OnSnapshotError = "warn",
    ) -> None:
        self.every, self._newest, self._background = every, newest, background
        self._on_error, self._error = on_error, ""
        self._folder = folder / SNAPSHOTS_NAME
        self._thread: threading.Thread | None = None
        self.run: RunRecorder | None = None
        self.found: RestorePoint | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = RunLock(folder)
        if resume:
            discard_unbegun(folder)
        self.goes_on = resume and (folder / LEDGER_NAME).exists()
        if self.goes_on:
            if open_ledger(folder).status == "stopped":
                raise ResumeError(f"{folder} holds a run that was stopped on purpose: choose another folder")
            self.found = find_restore_point(folder)
        held = list(self._folder.glob(f"{_PREFIX}*"))
        for stale in held:
            if not self.goes_on or stale.suffix != ".h5":  # half of one, of a process that was killed
                stale.unlink()
        left = [path for path in held if path.exists()]
        self._kept = by_age(folder, left) if left else []

    def begins(self, epochs: int) -> tuple[int, int]:
        """The epoch and the step at which Keras begins; behind the last epoch where nothing is left."""
        assert self.found is not None
        position = self.found.position
        over = position.stopping or position.over
        return (epochs, 0) if over else (min(position.epoch, epochs), position.step)

    def close(self) -> None:
        """Waits for the last snapshot, and lets go of the folder."""
        self._join()
        self._lock.close()

    def take(self, position: SnapshotPosition, arrays: dict[str, Any], metadata: dict[str, Any]) -> None:
        """Writes a snapshot, names it in the ledger, and removes the oldest.

        Raises:
            SnapshotError: it cannot be written, or the one before could not, and `on_error` is `"raise"`.
        """
        assert self.run is not None
        self.wait()
        if self.run.broken is not None:
            return self.failed(self.run.broken)  # the records before it are not all there
        metadata = {"position": vars(position), "link": self.run.ledger.link, **metadata}
        if self._background:
            name = "keras_repro snapshot"
            self._thread = threading.Thread(target=self._write, args=(position, arrays, metadata), name=name)
            self._thread.start()
        else:
            self._write(position, arrays, metadata)
            self.wait()

    def wait(self) -> None:
        """Waits until the last snapshot is written.

        Raises:
            SnapshotError: it could not be, and `on_error` is `"raise"`.
        """
        self._join()
        error, self._error = self._error, ""
        if error:
            raise SnapshotError(error)

    def failed(self, reason: object) -> None:
        """Says that there is no snapshot. Older ones stay.

        Where the training shall stop then, it does at the next `wait`.
        """
        text, older = f"no snapshot: {reason}", f"older snapshots in {self._folder} stay"
        if self._on_error == "warn":
            warnings.warn(f"keras_repro: {text}; the training goes on, {older}", stacklevel=3)
        else:
            self._error = f"{text}; the training stops, {older}: mend that, and start it again to go on"

    def _join(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _write(self, position: SnapshotPosition, arrays: dict[str, Any], metadata: dict[str, Any]) -> None:
        assert self.run is not None
        path = self._folder / f"{_PREFIX}{position.name}.h5"
        try:
            make_folder(self._folder)
            digest = write_snapshot(path, arrays, metadata=metadata)
            ledger = self.run.ledger
            ledger.mark(MARK, file=path.name, digest=digest, epoch=position.epoch, step=position.step)
            ledger.sync()
        except (ReproError, OSError) as error:
            return self.failed(error)
        self._kept = [*(p for p in self._kept if p != path), path]
        for old in self._kept[: -self._newest]:
            with contextlib.suppress(OSError):
                old.unlink(missing_ok=True)
        self._kept = self._kept[-self._newest :]


def has_all_weights(model: Any, found: RestorePoint) -> bool:
    """Whether a model has made all weights that a snapshot holds."""
    return not any(n.startswith("state/weights/") for n in TrainingState(model).missing(found.arrays))


def finished_result(model: Any, callbacks: Sequence[Any], found: RestorePoint) -> dict[str, list[Any]]:
    """Puts the end of a finished run into a model that was built alike, and into callbacks that join.

    Returns:
        Its history.
    """
    TrainingState(model).put(found.arrays, found.metadata, whole=False)
    tell_joined(callbacks, found.metadata["callbacks"], found.arrays)
    history = next(c["state"] for c in found.metadata["callbacks"] if c["class"] == "History")
    return dict(unpack(history, found.arrays)["history"])
