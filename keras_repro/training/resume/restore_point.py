"""Find the newest intact snapshot of an interrupted run.

restore_point = find_restore_point(folder)
restore_point.position, restore_point.arrays["state/weights/dense/kernel"]
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_repro.errors import ReproError, SnapshotError
from keras_repro.ledger.reader import open_ledger
from keras_repro.storage.run_folder import SNAPSHOTS_NAME
from keras_repro.storage.snapshot_file import Snapshot

MARK = "snapshot"  # the kind of ledger line that names a snapshot


@dataclass(frozen=True, kw_only=True)
class SnapshotPosition:
    """The position of a snapshot in its training.

    Attributes:
        epoch: completed epochs, which is the index of the current epoch.
        step: completed steps of the current epoch.
        over: whether the fit is finished.
        stopping: whether a callback has requested to stop.
    """

    epoch: int
    step: int = 0
    over: bool = False
    stopping: bool = False

    @property
    def name(self) -> str:
        """The position as part of a file name."""
        return "end" if self.over else f"epoch-{self.epoch + 1}-step-{self.step}"


@dataclass(frozen=True, kw_only=True)
class RestorePoint:
    """The content of a snapshot.

    Attributes:
        position: its position in the training.
        arrays: its arrays by name.
        metadata: its other values.
    """

    position: SnapshotPosition
    arrays: Mapping[str, Any]
    metadata: Mapping[str, Any]


def find_restore_point(folder: Path) -> RestorePoint | None:
    """Return the newest intact snapshot of a run folder, None if there is none.

    A snapshot is intact if it has the digest that the ledger records. If a snapshot is damaged or missing, a
    warning is issued and the previous one is used.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    marks = _marks(folder)
    for mark in reversed(marks):
        try:
            return _read(folder, mark)
        except ReproError as error:
            path = folder / SNAPSHOTS_NAME / str(mark.get("file"))
            # Older snapshots are removed on purpose: they are not missed.
            if mark is marks[-1] or path.exists():
                warnings.warn(f"keras_repro: {error}; using the previous snapshot", stacklevel=2)
    return None


def by_age(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Return snapshots of a run folder from old to new, first those that its ledger does not name.

    File times are not used: a run folder may be a copy.
    """
    places = {str(mark.get("file")): number for number, mark in enumerate(_marks(folder))}
    return sorted(paths, key=lambda path: (places.get(path.name, -1), path.name))


def _marks(folder: Path) -> list[Mapping[str, Any]]:
    return [r for r in open_ledger(folder).records() if r.get("kind") == MARK]


def _read(folder: Path, mark: Mapping[str, Any]) -> RestorePoint:
    name, digest = mark.get("file"), mark.get("digest")
    if not isinstance(name, str) or Path(name).name != name or not isinstance(digest, str):
        raise SnapshotError(f"{folder}: the ledger names a snapshot file with an invalid name or digest")
    with Snapshot(folder / SNAPSHOTS_NAME / name, digest=digest, whole=True) as snapshot:
        arrays = {n: snapshot.array(n) for n in snapshot.arrays}
        metadata = snapshot.metadata
    try:
        return RestorePoint(
            position=SnapshotPosition(**metadata["position"]), arrays=arrays, metadata=metadata
        )
    except (KeyError, TypeError):
        raise SnapshotError(f"{folder / SNAPSHOTS_NAME / name} is not a snapshot to resume from") from None
