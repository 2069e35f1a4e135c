"""What lies beside a run's ledger: sketches of the weights, and snapshots of chosen epochs.

beside = Beside(folder, keep="last")
beside.begin()
ledger.append(beside.add(record, state, SketchedWeights(state)))
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from keras_repro.errors import ReproError
from keras_repro.ledger.schema import Record
from keras_repro.storage.sketch_file import SKETCHES_NAME
from keras_repro.training.recording.sketch_recorder import SketchedWeights, Sketching
from keras_repro.training.recording.weight_snapshots import Keep, Snapshots
from keras_repro.training.state.walk import StateTensor


class SidecarFiles:
    """Writes what lies beside a ledger. Where that fails, it warns; the ledger and the training go on.

    Args:
        folder: the run folder.
        sketches: whether sketches are written.
        keep: after which epochs snapshots are kept, as for `DeterminismCallback`.
    """

    def __init__(self, folder: Path, *, sketches: bool = True, keep: Keep = None) -> None:
        self._path = folder / SKETCHES_NAME
        self._sketches = sketches
        self._sketching: Sketching | None = None
        self._snapshots = Snapshots(folder, keep)
        self._last: str | None = None

    def begin(self, *, go_on: bool = False) -> None:
        """Takes the place of what an overwritten run has left there, or goes on behind it."""
        try:
            if go_on:
                self._snapshots.go_on()
            else:
                self._path.unlink(missing_ok=True)
                self._snapshots.clear()
            if self._sketches:
                self._sketching = Sketching(self._path, go_on=go_on)
        except (OSError, ReproError) as error:
            _warn("no sketches of the weights", error)

    def add(self, record: Record, state: Sequence[StateTensor], weights: SketchedWeights) -> Record:
        """Writes what belongs to a record, before the record itself.

        Returns:
            The record, with `snapshot` in it where one was taken.
        """
        if self._sketching is not None:
            try:
                self._sketching.add(record, weights)
            except Exception as error:
                self._sketching.close()
                self._sketching = None
                _warn("no more sketches of the weights", error)
        digest = record.sections.get("weights")
        # An end is mostly as its last epoch was.
        changed, self._last = record.kind != "end" or digest != self._last, digest
        if not changed or digest is None or not self._snapshots.due(record.kind, record.epoch):
            return record
        try:
            taken = self._snapshots.take(record.kind, record.fit or 0, record.epoch, state)
        except Exception as error:
            _warn("no snapshot", error)
            return record
        return replace(record, extra=dict(record.extra) | {"snapshot": taken})

    def close(self) -> None:
        """Waits for the disk and closes the files."""
        sketching, self._sketching = self._sketching, None
        if sketching is not None:
            with contextlib.suppress(OSError):
                sketching.sync()
            sketching.close()


def _warn(what: str, error: Exception) -> None:
    text = str(error) if isinstance(error, ReproError) else f"{type(error).__name__}: {error}"
    warnings.warn(f"keras_repro: {what}: {text}; all else goes on", stacklevel=4)
