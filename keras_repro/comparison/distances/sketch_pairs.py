"""A run's states beside another's, and the sketches beside its ledger, each read once from front to back.

runs = SketchedRun("runs/a"), SketchedRun("runs/b")
for left, right in pairs_of(*runs):
    runs[0].sketches(left), runs[1].sketches(right)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from keras_repro.errors import LedgerError
from keras_repro.ledger.position_text import position_text
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.ledger.schema import Record
from keras_repro.storage.sketch_file import SKETCHES_NAME, SketchFile, SketchRecord

_STATES = ("start", "epoch", "end")


class SketchedRun:
    """One run: its ledger, and what lies beside it.

    Args:
        run: a run folder or a ledger.

    Attributes:
        file: the ledger.
        shapes: what is known of the tensors so far: dtype, shape and Keras's name.
        notes: why distances to it are not known.
        last: the digest of the weights that it left behind, as far as it was read.
        epochs: the index of each fit's last epoch so far.

    Raises:
        LedgerError: the ledger cannot be read, or the sketches are damaged.
    """

    def __init__(self, run: str | os.PathLike[str]) -> None:
        self.file: LedgerReader = open_ledger(run)
        self.shapes: dict[str, list[Any]] = {}
        self.notes: list[str] = []
        self.last = ""
        self.epochs: dict[int | None, int | None] = {}
        self._sketches: Iterator[SketchRecord] = iter(())
        self._next: SketchRecord | None = None
        path = self.file.path.with_name(SKETCHES_NAME)
        if os.path.lexists(path):
            self._sketched = SketchFile(path)
            self._sketches = self._sketched.records()
            self._next = next(self._sketches, None)
        if self._next is None:
            self.notes.append(f"{self.file.path.parent} has no sketches of its weights")

    def states(self) -> Iterator[Record]:
        """The records that hold weights."""
        for record in self.file.typed_records():
            self.shapes |= record.shapes
            if record.kind in _STATES and record.fit is not None and "weights" in record.sections:
                self.last = record.sections["weights"]
                if record.kind == "epoch":
                    self.epochs[record.fit] = record.epoch
                yield record

    def sketches(self, record: Record) -> SketchRecord | None:
        """The sketches of a record; asked for in the ledger's order."""
        wanted = _order(record.kind, record.fit, record.epoch)
        while self._next is not None and _order_of(self._next.position) < wanted:
            self._next = next(self._sketches, None)
        found = self._next
        if found is None or found.position != record.position:
            return None
        if found.digest != record.sections["weights"]:
            place = position_text(record.kind, fit=record.fit, epoch=record.epoch)
            raise LedgerError(f"{self._sketched.path} is not of this ledger: other weights at {place}")
        return found


def pairs_of(a: SketchedRun, b: SketchedRun) -> Iterator[tuple[Record, Record]]:
    """The records of both runs that stand at the same place."""
    others = b.states()
    right = next(others, None)
    for left in a.states():
        wanted = _order(left.kind, left.fit, left.epoch)
        while right is not None and _order(right.kind, right.fit, right.epoch) < wanted:
            right = next(others, None)
        if right is not None and right.position == left.position:
            yield left, right
    for _ in others:
        pass  # so that its last is known


def _order(kind: str, fit: int | None, epoch: int | None) -> tuple[int, int, int]:
    return fit or 0, _STATES.index(kind), epoch or 0


def _order_of(position: str) -> tuple[int, int, int]:
    kind, *numbers = position.split(" ")
    try:
        fit, epoch = [*map(int, numbers), 0][:2]
        return _order(kind, fit, epoch)
    except ValueError:
        return -1, 0, 0  # of a kind that this version does not know
