"""Write the sidecar files of a run: sketches of the weights, and snapshots after chosen epochs.

files = SidecarFiles(folder, keep="last")
files.begin()
ledger.append(files.add(record, state, SketchedWeights(state)))
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from keras_repro.errors import ReproError
from keras_repro.ledger.schema import Record
from keras_repro.storage.run_folder import SKETCHES_NAME
from keras_repro.training.recording.recording_options import Keep
from keras_repro.training.recording.sketch_recorder import SketchedWeights, SketchRecorder
from keras_repro.training.recording.weight_snapshots import WeightSnapshots
from keras_repro.training.state.walk import StateTensor


class SidecarFiles:
    """Write the files next to a ledger. If that fails, warn; the ledger and the training continue.

    Args:
        folder: the run folder.
        sketches: whether sketches are written.
        keep: epochs after which snapshots are kept, as for `DeterminismCallback`.
    """

    def __init__(self, folder: Path, *, sketches: bool, keep: Keep) -> None:
        self._path = folder / SKETCHES_NAME
        self._sketches = sketches
        self._recorder: SketchRecorder | None = None
        self._snapshots = WeightSnapshots(folder, keep)
        self._last_digest: str | None = None

    def begin(self, *, resume: bool = False) -> None:
        """Begin the files of a new run, or continue those of an interrupted one."""
        try:
            if resume:
                self._snapshots.resume()
            if self._sketches:
                self._recorder = SketchRecorder(self._path, resume=resume)
        except (OSError, ReproError) as error:
            _warn("no sketches of the weights", error)

    def add(self, record: Record, state: Sequence[StateTensor], weights: SketchedWeights) -> Record:
        """Write the files of a record, before the record itself.

        Returns:
            The record, with `snapshot` added if one was written.
        """
        if self._recorder is not None:
            try:
                self._recorder.add(record, weights)
            except Exception as error:
                self._recorder.close()
                self._recorder = None
                _warn("no more sketches of the weights", error)
        digest = record.sections.get("weights")
        # The state at the end mostly equals that of the last epoch.
        changed, self._last_digest = record.kind != "end" or digest != self._last_digest, digest
        if not changed or digest is None or not self._snapshots.is_due(record.kind, record.epoch):
            return record
        try:
            snapshot = self._snapshots.write(record.kind, record.fit or 0, record.epoch, state)
        except Exception as error:
            _warn("no snapshot", error)
            return record
        return replace(record, extra=dict(record.extra) | {"snapshot": snapshot})

    def close(self) -> None:
        """Flush the files to disk and close them."""
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()


def error_text(error: Exception) -> str:
    """Return an error's message, with its type if the error is not one of ours."""
    name = type(error).__name__
    return str(error) if isinstance(error, ReproError) else f"{name}: {error}" if str(error) else name


def _warn(problem: str, error: Exception) -> None:
    text = f"keras_repro: {problem}: {error_text(error)}; the training and its ledger continue"
    warnings.warn(text, stacklevel=4)
