"""Exact distances of the weights that two runs kept in snapshots.

    a, b = RecordedSnapshot(Path("runs/a"), record_of_a), RecordedSnapshot(Path("runs/b"), record_of_b)
    exact_distances(a, b, names=["layers/0/kernel"])["layers/0/kernel"].ulps

A snapshot is used only if its file is the one that the ledger names. Each tensor must have the digest that
is in the ledger's chain.
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
    """The snapshot that a record names.

    Attributes:
        folder: the run folder.
        record: the record.
    """

    folder: Path
    record: Record

    @property
    def path(self) -> Path | None:
        """The file; None if the record names none of ours, or it is missing."""
        snapshot = self.record.extra.get("snapshot")
        match = _FILE.fullmatch(str(snapshot.get("file"))) if isinstance(snapshot, dict) else None
        folder = self.folder / SNAPSHOTS_NAME
        if match is None or os.path.islink(folder) or not os.path.lexists(folder / match[1]):
            return None
        return folder / match[1]

    def open(self) -> Snapshot:
        """Open the snapshot.

        Raises:
            SnapshotError: it is missing, is not the recorded file, or cannot be read.
        """
        path = self.path
        if path is None:
            raise SnapshotError(f"no snapshot of {self.record.position} in {self.folder}")
        return Snapshot(path, digest=str(self.record.extra["snapshot"].get("digest")))


def exact_distances(
    a: RecordedSnapshot, b: RecordedSnapshot, *, names: Collection[str]
) -> dict[str, ExactDistance]:
    """Return how far apart the tensors in two snapshots are.

    Args:
        a: the snapshot of the first run.
        b: the snapshot of the second run.
        names: the structural names of the tensors.

    Returns:
        The distances by name, without tensors whose dtypes or shapes differ.

    Raises:
        SnapshotError: a snapshot cannot be read, or does not match its ledger.
    """
    distances = {}
    with a.open() as left, b.open() as right:
        for name in names:
            if name in left.arrays and left.arrays[name] == right.arrays.get(name):
                values = _verified(a, left, name), _verified(b, right, name)
                distances[name] = exact_distance(name, *values)
    return distances


def _verified(recorded: RecordedSnapshot, file: Snapshot, name: str) -> np.ndarray:
    """The tensor in a snapshot, if its digest is the recorded one."""
    values, (dtype, shape) = file.array(name), file.arrays[name]
    if dtype == "string":
        digest = array_digest(name, values)
    else:
        digest = tensor_digest(name, dtype, shape, content_digest(values.reshape(-1).view("u1")))
    if digest != recorded.record.tensors.get("weights", {}).get(name):
        raise SnapshotError(f"{file.path} does not match its ledger: {name} has another digest")
    return values
