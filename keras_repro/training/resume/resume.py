"""`Resume`: the snapshots of a run that can be resumed, each an immutable file that is complete or absent.

resume = Resume(folder, ResumeOptions(resume=True))
resume.restore_point                              # the newest intact snapshot of an interrupted run
resume.save(run, position, arrays, metadata)      # write a snapshot and name it in the ledger

The same program starts again and builds the same model. Its records up to the snapshot are compared with the
recorded ones; then a `ResumeCallback` restores the whole state, and Keras continues at the step after the
snapshot.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_repro.errors import ReproError, ResumeError, SnapshotError
from keras_repro.ledger.earlier_run import EarlierRun
from keras_repro.ledger.reader import LedgerReader, discard_unbegun, open_ledger
from keras_repro.ledger.schema import without_later_fields
from keras_repro.storage.atomic_files import files_in, make_folder, remove_file
from keras_repro.storage.plain_values import unpack
from keras_repro.storage.run_folder import LEDGER_NAME, SNAPSHOTS_NAME
from keras_repro.storage.run_lock import RunLock
from keras_repro.storage.snapshot_file import write_snapshot
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.resume.callback_states import restore_user_callbacks
from keras_repro.training.resume.restore_point import (
    MARK,
    RestorePoint,
    SnapshotPosition,
    by_age,
    find_restore_point,
)
from keras_repro.training.resume.resume_options import ResumeOptions
from keras_repro.training.resume.training_state import TrainingState

_PREFIX = "resume-"


class Resume:
    """Lock a run folder, write the snapshots of its fit, and find the one to resume from.

    Args:
        folder: the run folder.
        options: how the fit can be resumed.
        overwrite: whether a run in the folder that is not resumed may be replaced.

    Attributes:
        options: how the fit can be resumed.
        continues: whether the folder holds a run that is continued.
        restore_point: the snapshot to restore; None if there is none, or once it is restored.

    Raises:
        RunFolderError: the folder is in use, or holds a run or other files that may not be replaced.
        ResumeError: a divergence, or an error without `resume`, has ended the run in the folder.
        LedgerError: its ledger cannot be read.
    """

    def __init__(self, folder: Path, options: ResumeOptions, *, overwrite: bool = False) -> None:
        self.options = options
        self.restore_point: RestorePoint | None = None
        self._folder = folder / SNAPSHOTS_NAME
        self._thread: threading.Thread | None = None
        self._error = ""
        folder.mkdir(parents=True, exist_ok=True)
        EarlierRun(folder).check(overwrite=overwrite or options.resume)
        self._lock = RunLock(folder)
        if options.resume:
            discard_unbegun(folder)
        self.continues = options.resume and (folder / LEDGER_NAME).exists()
        if self.continues:
            if open_ledger(folder).status == "stopped":
                raise ResumeError(
                    f"cannot resume {folder}: a divergence or an error has ended this run. Use another run "
                    "folder"
                )
            self.restore_point = find_restore_point(folder)
        snapshots = files_in(self._folder, rf"{_PREFIX}.*\.h5") if self.continues else []
        self._snapshots = by_age(folder, snapshots) if snapshots else []

    def start_position(self, epochs: int) -> tuple[int, int]:
        """Return the epoch and the step at which Keras begins; `(epochs, 0)` if no epoch is left."""
        assert self.restore_point is not None
        position = self.restore_point.position
        if position.stopping or position.over:
            return epochs, 0
        return min(position.epoch, epochs), position.step

    def close(self) -> None:
        """Wait for the last snapshot, and release the folder."""
        self._join()
        self._lock.close()

    def save(
        self, run: RunRecorder, position: SnapshotPosition, arrays: dict[str, Any], metadata: dict[str, Any]
    ) -> None:
        """Write a snapshot, name it in the run's ledger, and remove the oldest.

        Raises:
            SnapshotError: this snapshot or the previous one cannot be written, and `on_snapshot_error` is
                `"raise"`.
        """
        self.wait()
        if run.broken is not None:
            return self.report_failure(run.broken)  # records before the snapshot are missing
        metadata = {"position": vars(position), "link": run.ledger.link, **metadata}
        arguments = (run, position, arrays, metadata)
        if self.options.background:
            self._thread = threading.Thread(target=self._write, args=arguments, name="keras_repro snapshot")
            self._thread.start()
        else:
            self._write(*arguments)
            self.wait()

    def wait(self) -> None:
        """Wait until the last snapshot is written.

        Raises:
            SnapshotError: it cannot be written, and `on_snapshot_error` is `"raise"`.
        """
        self._join()
        error, self._error = self._error, ""
        if error:
            raise SnapshotError(error)

    def report_failure(self, reason: object) -> None:
        """Warn that a snapshot is missing, or have the next `wait` raise an error."""
        text, older = f"no snapshot: {reason}", f"older snapshots in {self._folder} are kept"
        if self.options.on_snapshot_error == "warn":
            warnings.warn(f"keras_repro: {text}; training continues, {older}", stacklevel=3)
        else:
            self._error = f"{text}; training stops, {older}. Fix the cause and start the program again"

    def _join(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _write(
        self, run: RunRecorder, position: SnapshotPosition, arrays: dict[str, Any], metadata: dict[str, Any]
    ) -> None:
        path = self._folder / f"{_PREFIX}{position.name}.h5"
        try:
            make_folder(self._folder)
            digest = write_snapshot(path, arrays, metadata=metadata)
            run.ledger.mark(MARK, file=path.name, digest=digest, epoch=position.epoch, step=position.step)
            run.ledger.sync()
        except (ReproError, OSError) as error:
            return self.report_failure(error)
        snapshots, newest = [*(p for p in self._snapshots if p != path), path], self.options.snapshots
        for old in snapshots[:-newest]:
            with contextlib.suppress(OSError):
                remove_file(old)
        self._snapshots = snapshots[-newest:]


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Raise TypeError for a callback that cannot be part of a run that can be resumed."""
    if any(isinstance(c, keras.callbacks.BackupAndRestore) for c in callbacks):
        raise TypeError(
            "callbacks: BackupAndRestore resumes by itself, and not bit-identically: remove it, or "
            "train without snapshot_every and resume"
        )


def check_epochs(restore_point: RestorePoint, epochs: int, folder: Path) -> None:
    """Raise ResumeError if a finished run would change its length, or a run is to end before its position."""
    position, recorded = restore_point.position, restore_point.metadata.get("epochs") or epochs
    if position.over and recorded != epochs:
        raise ResumeError(
            f"cannot resume with epochs={epochs}: the run in {folder} is finished with epochs={recorded}. "
            f"Use epochs={recorded} to get its result, or another run folder for a new run"
        )
    needed = position.epoch + (position.step > 0)
    if not position.over and epochs < needed:
        raise ResumeError(
            f"cannot resume with epochs={epochs}: the run in {folder} has already reached epoch "
            f"{position.epoch + 1} of {recorded}. Use epochs>={needed}, or another run folder for a new run"
        )


def check_data(recorded: LedgerReader, details: Mapping[str, Any]) -> None:
    """Raise ResumeError if the data of a finished run differs from the present data.

    Args:
        recorded: the ledger of the finished run.
        details: the `fit` record of the present data.
    """
    fit = next(recorded.typed_records()).extra
    for name in ("data", "validation_data"):
        if without_later_fields(fit.get(name)) != without_later_fields(details.get(name)):
            raise ResumeError(
                f"cannot resume {recorded.path}: {name} differs from the recorded run; use another run "
                "folder for a new run"
            )


def has_all_weights(model: Any, restore_point: RestorePoint) -> bool:
    """Return whether a model has created all weights of a snapshot."""
    missing = TrainingState(model).missing(restore_point.arrays)
    return not any(name.startswith("state/weights/") for name in missing)


def finished_history(
    model: Any, callbacks: Sequence[Any], restore_point: RestorePoint
) -> dict[str, list[Any]]:
    """Restore the end of a finished run in its model and the user's callbacks, and return its history."""
    metadata, arrays = restore_point.metadata, restore_point.arrays
    TrainingState(model, callbacks).restore(arrays, metadata, complete=False)
    restore_user_callbacks(callbacks, metadata["callbacks"], arrays)
    history = next(c["state"] for c in metadata["callbacks"] if c["class"] == "History")
    return dict(unpack(history, arrays)["history"])
