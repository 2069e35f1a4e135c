"""The snapshots that two runs kept, side by side: exact distances of their weights.

    a, b = Kept(Path("runs/a"), record_of_a), Kept(Path("runs/b"), record_of_b)
    exact_distances(a, b, names=["layers/0/kernel"])["layers/0/kernel"].ulps

A snapshot is believed only where its file is the one that the ledger names, and each tensor in it has the
digest that the ledger's chain holds.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_repro.comparison.distances.tensor_distance import ExactDistance, exact_distance
from keras_repro.errors import SnapshotError
from keras_repro.ledger.schema import Record
from keras_repro.storage.digest import array_digest, content_digest, tensor_digest
from keras_repro.storage.run_folder import SNAPSHOTS_NAME
from keras_repro.storage.snapshot_file import Snapshot

_FILE = re.compile(rf"{SNAPSHOTS_NAME}/([A-Za-z0-9][A-Za-z0-9._-]{{0,99}}\.h5)")


@dataclass(frozen=True)
class RecordedSnapshot:
    """A record's snapshot, where it names one.

    Attributes:
        folder: the run folder.
        record: the record.
    """

    folder: Path
    record: Record

    @property
    def path(self) -> Path | None:
        """The file, if it is named as ours are and is there."""
        named = self.record.extra.get("snapshot")
        file = _FILE.fullmatch(str(named.get("file"))) if isinstance(named, dict) else None
        inside = self.folder / SNAPSHOTS_NAME
        if file is None or os.path.islink(inside) or not os.path.lexists(inside / file[1]):
            return None
        return inside / file[1]

    def open(self) -> Snapshot:
        """Opens it.

        Raises:
            SnapshotError: it is not the file that was recorded, or cannot be read.
        """
        path = self.path
        if path is None:
            raise SnapshotError(f"{self.folder} kept no snapshot there")
        return Snapshot(path, digest=str(self.record.extra["snapshot"].get("digest")))


def exact_distances(
    a: RecordedSnapshot, b: RecordedSnapshot, *, names: Collection[str]
) -> dict[str, ExactDistance]:
    """How far apart tensors are that both runs kept.

    Args:
        a: what the first run kept.
        b: what the other kept.
        names: the tensors, by their structural names.

    Returns:
        By name; without those of another dtype or shape.

    Raises:
        SnapshotError: one of them cannot be read, or does not hold what its ledger says.
    """
    found = {}
    with a.open() as left, b.open() as right:
        for name in names:
            if name in left.arrays and left.arrays[name] == right.arrays.get(name):
                values = [_checked(kept, file, name) for kept, file in ((a, left), (b, right))]
                found[name] = exact_distance(name, *values)
    return found


def _checked(kept: RecordedSnapshot, file: Snapshot, name: str) -> np.ndarray:
    values, (dtype, shape) = file.array(name), file.arrays[name]
    if dtype == "string":
        digest = array_digest(name, values)
    else:
        digest = tensor_digest(name, dtype, shape, content_digest(values.reshape(-1).view("u1")))
    if digest != kept.record.tensors.get("weights", {}).get(name):
        raise SnapshotError(f"{file.path} does not hold the {name} that its ledger says")
    return values
