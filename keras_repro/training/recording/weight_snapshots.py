"""Snapshots of the weights after chosen epochs, kept in the run folder for comparison.

snapshots = WeightSnapshots(folder, keep="last")
snapshots.write("epoch", 0, 3, StateWalk(model).tensors())    # {"file": ..., "digest": ...}
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from keras_repro.storage.atomic_files import files_in, make_folder, remove_file
from keras_repro.storage.run_folder import SNAPSHOTS_NAME
from keras_repro.storage.snapshot_file import write_snapshot
from keras_repro.training.backends.active import backend
from keras_repro.training.recording.recording_options import Keep
from keras_repro.training.state.buffers import array_of_value
from keras_repro.training.state.walk import StateTensor


class WeightSnapshots:
    """Write the snapshots of one run.

    Args:
        folder: the run folder.
        keep: as for `DeterminismCallback`.
    """

    def __init__(self, folder: Path, keep: Keep) -> None:
        self._folder = folder / SNAPSHOTS_NAME
        self._keep = keep
        self._older: list[Path] = []  # to remove after the next one, if only the last is kept

    def resume(self) -> None:
        """Continue with the snapshots of an interrupted run."""
        if self._keep == "last":
            self._older = files_in(self._folder, r"fit-\d+-(end|epoch-\d+)\.h5")

    def is_due(self, kind: str, epoch: int | None) -> bool:
        """Return whether a snapshot belongs to a record."""
        if self._keep is None or kind not in ("epoch", "end"):
            return False
        return isinstance(self._keep, str) or (epoch is not None and epoch + 1 in self._keep)

    def write(self, kind: str, fit: int, epoch: int | None, tensors: Sequence[StateTensor]) -> dict[str, str]:
        """Write the weights of a state.

        Returns:
            The record's entry: `file`, relative to the run folder, and `digest`.

        Raises:
            SnapshotError: the file cannot be written.
        """
        position = "end" if epoch is None else f"epoch-{epoch + 1}"
        path = self._folder / f"fit-{fit + 1}-{position}.h5"
        make_folder(self._folder)
        weights = [t for t in tensors if t.section == "weights"]
        values = backend.variables.read_all([t.variable for t in weights])
        arrays = {t.name: array_of_value(value) for t, value in zip(weights, values, strict=True)}
        digest = write_snapshot(path, arrays, metadata={"kind": kind, "fit": fit, "epoch": epoch})
        if self._keep == "last":
            for old in self._older:
                if old != path:
                    with contextlib.suppress(OSError):
                        remove_file(old)
            self._older = [path]
        return {"file": f"{SNAPSHOTS_NAME}/{path.name}", "digest": digest}
