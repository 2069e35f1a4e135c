"""Exact distances of the weights that two runs kept in snapshots.

    paths = snapshot_path(Path("runs/a"), record_of_a), snapshot_path(Path("runs/b"), record_of_b)
    exact_distances(paths, (record_of_a, record_of_b), names=["layers/0/kernel"])["layers/0/kernel"].ulps

A snapshot is used only if its file is the one that the ledger names. Each tensor must have the digest that
is in the ledger's chain.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from keras_repro.comparison.distances.tensor_distance import ExactDistance, exact_distance
from keras_repro.errors import SnapshotError
from keras_repro.ledger.schema import Record
from keras_repro.storage.digest import array_digest, content_digest, tensor_digest
from keras_repro.storage.run_folder import SNAPSHOTS_NAME
from keras_repro.storage.snapshot_file import Snapshot

_FILE = re.compile(rf"{SNAPSHOTS_NAME}/([A-Za-z0-9][A-Za-z0-9._-]{{0,99}}\.h5)")


def snapshot_path(folder: Path, record: Record) -> Path | None:
    """Return the snapshot that a record names; None if it names none of ours, or the file is missing.

    Args:
        folder: the run folder.
        record: the record.
    """
    snapshot = record.extra.get("snapshot")
    match = _FILE.fullmatch(str(snapshot.get("file"))) if isinstance(snapshot, dict) else None
    snapshots = folder / SNAPSHOTS_NAME
    if match is None or os.path.islink(snapshots) or not os.path.lexists(snapshots / match[1]):
        return None
    return snapshots / match[1]


def exact_distances(
    paths: tuple[Path, Path], records: tuple[Record, Record], *, names: Collection[str]
) -> dict[str, ExactDistance]:
    """Return how far apart the tensors in the snapshots of two runs are.

    Args:
        paths: the `snapshot_path` of both runs.
        records: the records that name them.
        names: the structural names of the tensors.

    Returns:
        The distances by name, without tensors whose dtypes or shapes differ.

    Raises:
        SnapshotError: a snapshot cannot be read, or does not match its ledger.
    """
    distances = {}
    digests = [str(record.extra["snapshot"].get("digest")) for record in records]
    with Snapshot(paths[0], digest=digests[0]) as left, Snapshot(paths[1], digest=digests[1]) as right:
        for name in names:
            if name in left.arrays and left.arrays[name] == right.arrays.get(name):
                values = _verified(records[0], left, name), _verified(records[1], right, name)
                distances[name] = exact_distance(name, *values)
    return distances


def _verified(record: Record, file: Snapshot, name: str) -> np.ndarray:
    """Return the tensor in a snapshot, if its digest is the recorded one."""
    values, (dtype, shape) = file.array(name), file.arrays[name]
    if dtype == "string":
        digest = array_digest(name, values)
    else:
        digest = tensor_digest(name, dtype, shape, content_digest(values.reshape(-1).view("u1")))
    if digest != record.tensors.get("weights", {}).get(name):
        raise SnapshotError(f"{file.path} does not match its ledger: {name} has another digest")
    return values
