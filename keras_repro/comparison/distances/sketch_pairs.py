"""The weights of two runs at the same places, with the sketches next to their ledgers, each read once.

runs = SketchedRun(open_ledger("runs/a")), SketchedRun(open_ledger("runs/b"))
for left, right in pairs_of(*runs):
    runs[0].sketches(left), runs[1].sketches(right)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from keras_repro.errors import LedgerError
from keras_repro.ledger.position_text import position_text
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import Record
from keras_repro.storage.run_folder import SKETCHES_NAME
from keras_repro.storage.sketch_file import SketchFile, SketchRecord

_STATES = ("start", "epoch", "end")


class SketchedRun:
    """One run: its ledger and its sketches.

    Args:
        ledger: the run's ledger.

    Attributes:
        ledger: the run's ledger.
        shapes: dtype, shape and Keras's name of each tensor seen so far.
        notes: why distances to this run are unknown.
        last: the digest of the final weights, as far as the ledger was read.
        epochs: the index of each fit's last epoch so far.

    Raises:
        LedgerError: the sketches are damaged.
    """

    def __init__(self, ledger: LedgerReader) -> None:
        self.ledger = ledger
        self.shapes: dict[str, list[Any]] = {}
        self.notes: list[str] = []
        self.last = ""
        self.epochs: dict[int | None, int | None] = {}
        self._sketches: Iterator[SketchRecord] = iter(())
        self._next: SketchRecord | None = None
        path = self.ledger.path.with_name(SKETCHES_NAME)
        if os.path.lexists(path):
            self._sketch_file = SketchFile(path)
            self._sketches = self._sketch_file.records()
            self._next = next(self._sketches, None)
        if self._next is None:
            self.notes.append(f"{self.ledger.path.parent} has no sketches of its weights")

    def states(self) -> Iterator[Record]:
        """Yield the records that contain weights."""
        for record in self.ledger.typed_records():
            self.shapes |= record.shapes
            if record.kind in _STATES and record.fit is not None and "weights" in record.sections:
                self.last = record.sections["weights"]
                if record.kind == "epoch":
                    self.epochs[record.fit] = record.epoch
                yield record

    def sketches(self, record: Record) -> SketchRecord | None:
        """Return the sketches of a record, None if there are none. Call it in the ledger's order."""
        fit = self.ledger.number_in_file(record.fit or 0)
        wanted = _order(record.kind, fit, record.epoch)
        while self._next is not None and _order_of(self._next.position) < wanted:
            self._next = next(self._sketches, None)
        sketches = self._next
        if sketches is None or sketches.position != replace(record, fit=fit).position:
            return None
        if sketches.digest != record.sections["weights"]:
            place = position_text(record.kind, fit=record.fit, epoch=record.epoch)
            raise LedgerError(f"{self._sketch_file.path} is not of this ledger: other weights at {place}")
        return sketches


def pairs_of(a: SketchedRun, b: SketchedRun) -> Iterator[tuple[Record, Record]]:
    """Yield the records of both runs that are at the same place."""
    others = b.states()
    right = next(others, None)
    for left in a.states():
        wanted = _order(left.kind, left.fit, left.epoch)
        while right is not None and _order(right.kind, right.fit, right.epoch) < wanted:
            right = next(others, None)
        if right is not None and right.position == left.position:
            yield left, right
    for _ in others:
        pass  # so that `b.last` is of the last record


def _order(kind: str, fit: int | None, epoch: int | None) -> tuple[int, int, int]:
    return fit or 0, _STATES.index(kind), epoch or 0


def _order_of(position: str) -> tuple[int, int, int]:
    kind, *numbers = position.split(" ")
    try:
        fit, epoch = [*map(int, numbers), 0][:2]
        return _order(kind, fit, epoch)
    except ValueError:
        return -1, 0, 0  # a kind that this version does not know
