"""The sketches of a run's weights, written beside its ledger as the records are made.

    sketching = Sketching(folder / SKETCHES_NAME)
    weights = SketchedWeights(StateWalk(model).tensors())
    sketching.add(record, weights)

A tensor whose digest is that of the record before is left out: a frozen layer costs nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Set
from pathlib import Path

import numpy as np

from keras_repro.errors import LedgerError
from keras_repro.ledger.schema import Record
from keras_repro.storage.linear_sketch import parts_of, sketch_rows
from keras_repro.storage.sketch_file import SketchedTensor, SketchFile, SketchRecord, SketchWriter
from keras_repro.training.state.buffers import VariableReader, fixed_shape
from keras_repro.training.state.walk import StateTensor


class SketchedWeights:
    """The weights of a state that have sketches: numbers of a shape that does not change.

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
        self._reading = VariableReader(variables)

    def sketches(self, changed: Set[str]) -> Iterator[tuple[SketchedTensor, np.ndarray]]:
        """The sketches of those that have changed; each is read where it lies."""
        if not any(tensor.name in changed for tensor in self._tensors):
            return
        for tensor, view in zip(self._tensors, self._reading.views(), strict=True):
            if tensor.name in changed:
                values = view if isinstance(view, bytes | np.ndarray) else memoryview(view)
                yield tensor, sketch_rows(values, tensor.dtype)


class Sketching:
    """The file of sketches of one run; its fits may run in several threads.

    Args:
        path: the file; replaced if it is there.
        go_on: whether what it holds is kept instead, and records that it holds are not added again.

    Raises:
        LedgerError: it cannot be written.
    """

    def __init__(self, path: Path, *, go_on: bool = False) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        self._there: set[str] = set()
        if not go_on or not path.exists():
            self._writer = SketchWriter(path)
            return
        # A torn last frame is left behind, and a machine that died may have left more than that.
        self._writer = SketchWriter(path.with_name(f"{path.name}.part"))
        for record in _readable(path):
            rows = [r[: t.parts] for t, r in zip(record.tensors, record.rows, strict=True)]
            self._writer.append(record.position, record.digest, list(zip(record.tensors, rows, strict=True)))
            self._there.add(record.position)
        self._writer.rename(path)

    def add(self, record: Record, weights: SketchedWeights) -> None:
        """Writes the sketches that belong to a record; before the record itself, which may end the process.

        Raises:
            LedgerError: the file cannot be written.
        """
        digests = record.tensors.get("weights")
        if not digests or record.position in self._there:
            return
        with self._lock:
            changed = {name for name, digest in digests.items() if self._known.get(name) != digest}
            sketches = list(weights.sketches(changed))
            self._writer.append(record.position, record.sections["weights"], sketches)
            self._known |= digests

    def sync(self) -> None:
        """Waits until the disk has all of it."""
        self._writer.sync()

    def close(self) -> None:
        """Closes the file."""
        self._writer.close()


def _readable(path: Path) -> Iterator[SketchRecord]:
    """The records of a file up to where it is damaged."""
    with contextlib.suppress(LedgerError):
        yield from SketchFile(path).records()
