"""Sketches of a run's weights, written next to its ledger as the records are made.

    recorder = SketchRecorder(folder / SKETCHES_NAME)
    weights = SketchedWeights(StateWalk(model).tensors())
    recorder.add(record, weights)

A tensor whose digest equals that of the previous record is skipped: a frozen layer costs nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

import numpy as np

from keras_repro.errors import LedgerError
from keras_repro.ledger.schema import Record
from keras_repro.storage.atomic_files import PART, remove_file
from keras_repro.storage.linear_sketch import parts_of, sketch_rows
from keras_repro.storage.sketch_file import SketchedTensor, SketchFile, SketchRecord, SketchWriter
from keras_repro.training.state.buffers import VariableReader, fixed_shape
from keras_repro.training.state.walk import StateTensor


class SketchedWeights:
    """The weights of a state that have sketches: numbers of a fixed shape.

    Args:
        tensors: the state's tensors.
    """

    def __init__(self, tensors: Iterable[StateTensor]) -> None:
        self._tensors = []
        variables = []
        for tensor in tensors:
            dtype, shape = str(tensor.variable.dtype.name), fixed_shape(tensor.variable)
            if tensor.section == "weights" and parts_of(dtype) and shape is not None:
                self._tensors.append(SketchedTensor(tensor.name, dtype, shape))
                variables.append(tensor.variable)
        self._reader = VariableReader(variables)

    def sketches(self, changed: Set[str]) -> Iterator[tuple[SketchedTensor, np.ndarray]]:
        """Yield the sketches of the tensors with these names, without a copy of their values."""
        if not any(tensor.name in changed for tensor in self._tensors):
            return
        for tensor, view in zip(self._tensors, self._reader.views(), strict=True):
            if tensor.name in changed:
                values = view if isinstance(view, bytes | np.ndarray) else memoryview(view)
                yield tensor, sketch_rows(values, tensor.dtype)


class SketchRecorder:
    """Write the sketch file of one run, whose fits may run in several threads.

    Args:
        path: the file.
        resume: whether to keep the records of an existing file; they are not added again.

    Raises:
        LedgerError: the file cannot be written.
    """

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        self._lock = threading.Lock()
        self._digests: dict[str, str] = {}
        self._existing: set[str] = set()
        if not resume or not path.exists():
            self._writer = SketchWriter(path)
            return
        # Copied, since the end of the file may be damaged after a crash.
        copy = path.with_name(f"{path.name}{PART}")
        remove_file(copy)  # left by a killed process
        self._writer = SketchWriter(copy)
        for record in _readable(path):
            rows = [r[: t.parts] for t, r in zip(record.tensors, record.rows, strict=True)]
            self._writer.append(record.position, record.digest, list(zip(record.tensors, rows, strict=True)))
            self._existing.add(record.position)
        self._writer.rename(path)

    def add(self, record: Record, weights: SketchedWeights) -> None:
        """Write the sketches of a record.

        Raises:
            LedgerError: the file cannot be written.
        """
        digests = record.tensors.get("weights")
        if not digests or record.position in self._existing:
            return
        with self._lock:
            changed = {name for name, digest in digests.items() if self._digests.get(name) != digest}
            self._writer.append(record.position, record.sections["weights"], list(weights.sketches(changed)))
            self._digests |= digests

    def close(self) -> None:
        """Flush the file to disk and close it."""
        with contextlib.suppress(OSError):
            self._writer.sync()
        self._writer.close()


def _readable(path: Path) -> Iterator[SketchRecord]:
    """Yield the records of a file up to the first damage."""
    with contextlib.suppress(LedgerError):
        yield from SketchFile(path).records()
