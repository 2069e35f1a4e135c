"""What an interrupted run has left to go on from: the newest snapshot that is whole, and where it stands.

found = find(folder)
found.position, found.arrays["state/weights/dense/kernel"]
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

MARK = "snapshot"  # the kind of line that names a snapshot in the ledger


@dataclass(frozen=True, kw_only=True)
class SnapshotPosition:
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
class RestorePoint:
    """A snapshot that a run can go on from.

    Attributes:
        position: where it stands.
        arrays: all of its arrays by name.
        metadata: what was kept beside them.
    """

    position: SnapshotPosition
    arrays: Mapping[str, Any]
    metadata: Mapping[str, Any]


def find_restore_point(folder: Path) -> RestorePoint | None:
    """The newest snapshot of a run folder that is whole; None where there is none.

    A snapshot counts that the ledger names, with the digest that the ledger gives; where a newer one is
    damaged or gone, a warning says so, and the next older one is taken.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    marks = _marks(folder)
    for mark in reversed(marks):
        try:
            return _read(folder, mark)
        except ReproError as error:
            path = folder / SNAPSHOTS_NAME / str(mark.get("file"))
            # Older ones are removed on purpose: only the newest is missed.
            if mark is marks[-1] or path.exists():
                warnings.warn(f"keras_repro: {error}; trying the snapshot before it", stacklevel=2)
    return None


def by_age(folder: Path, paths: Iterable[Path]) -> list[Path]:
    """Snapshots of a run folder, those first that its ledger does not name, then as it names them.

    The times of files say nothing: a run folder may be a copy.
    """
    places = {str(mark.get("file")): number for number, mark in enumerate(_marks(folder))}
    return sorted(paths, key=lambda path: (places.get(path.name, -1), path.name))


def _marks(folder: Path) -> list[Mapping[str, Any]]:
    return [r for r in open_ledger(folder).records() if r.get("kind") == MARK]


def _read(folder: Path, mark: Mapping[str, Any]) -> RestorePoint:
    name, digest = mark.get("file"), mark.get("digest")
    if not isinstance(name, str) or Path(name).name != name or not isinstance(digest, str):
        raise SnapshotError(f"{folder}: the ledger names a snapshot as none can be named")
    with Snapshot(folder / SNAPSHOTS_NAME / name, digest=digest, whole=True) as snapshot:
        arrays = {n: snapshot.array(n) for n in snapshot.arrays}
        metadata = snapshot.metadata
    try:
        return RestorePoint(
            position=SnapshotPosition(**metadata["position"]), arrays=arrays, metadata=metadata
        )
    except (KeyError, TypeError):
        raise SnapshotError(f"{folder / SNAPSHOTS_NAME / name} is no snapshot to resume from") from None
