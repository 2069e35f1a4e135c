"""A part of a run's record that is held in memory, without its final number."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np

from keras_repro.ledger.schema import Record, StepRecord
from keras_repro.storage.digest import array_digest
from keras_repro.storage.sketch_file import SketchedTensor
from keras_repro.training.recording.recorded_part import RecordedPart
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.recording.sketch_recorder import SketchedWeights
from keras_repro.training.state.walk import StateTensor

_DATA = ("arguments", "data", "validation_data")
_BEFORE_TRAINING = ("start", "birth")


class _HeldSketches(SketchedWeights):
    """The sketches of a record, computed when it was made."""

    def __init__(self, weights: SketchedWeights, record: Record) -> None:
        self._sketches = list(weights.sketches(set(record.tensors.get("weights", ()))))

    def sketches(self, changed: Set[str]) -> Iterator[tuple[SketchedTensor, np.ndarray]]:
        return ((tensor, rows) for tensor, rows in self._sketches if tensor.name in changed)


class HeldPart(RecordedPart):
    """A part of a run's record that `write` numbers and writes.

    Args:
        run: the run.
        number_of: returns a provisional number of a model.

    Attributes:
        is_result: whether it is a result, which changes no model.
    """

    def __init__(self, run: RunRecorder, number_of: Callable[[Any], int]) -> None:
        super().__init__(run)
        self.is_result = False
        self._number_of = number_of
        self._thread = threading.current_thread().name
        self._records: list[tuple[Record, SketchedWeights | None]] = []
        self._steps: list[StepRecord] = []

    def begin_fit(self) -> int:
        """Return a provisional number."""
        return 0

    def begin(self, kind: str) -> int:
        """Return a provisional number."""
        self.is_result = kind != "loop"
        return 0

    def number_of(self, model: Any) -> int:
        """Return a provisional number of a model."""
        return self._number_of(model)

    def append(
        self, record: Record, state: Sequence[StateTensor] = (), weights: SketchedWeights | None = None
    ) -> None:
        """Hold a record, and the sketches of its weights; after `write`, write it at once."""
        if not self.is_open:
            return
        if self.number is not None:
            return super().append(_numbered(record, self.number, self._number_of), state, weights)
        wanted = weights is not None and self.run.options.sketches
        self._records.append((record, _HeldSketches(weights, record) if weights and wanted else None))

    def append_step(self, record: StepRecord) -> None:
        """Hold a step's record; after `write`, write it at once."""
        if self.number is not None:
            super().append_step(replace(record, fit=self.number))
        elif self.is_open:
            self._steps.append(record)

    def failed(self, place: str, error: Exception) -> None:
        """End the part; name its thread, since it has no number yet."""
        super().failed(f"{place} of a fit in thread {self._thread}" if not self.is_result else place, error)

    def key(self) -> str:
        """Return a text that is the same for the same part in another run: its content without numbers.

        It begins with what changes least from run to run, so that runs that differ are paired well:
        configuration, initial state, arguments and data, then the rest.
        """
        extra = self._records[0][0].extra if self._records else {}
        contents = [
            [r.kind, r.epoch, {name: d for name, d in r.sections.items() if name != "fit"}]
            for r, _ in self._records
        ]
        initial = [c for c in contents if c[0] in _BEFORE_TRAINING]
        described = [extra.get(name) for name in _DATA]
        return json.dumps([extra.get("configuration"), initial, described, contents], sort_keys=True)

    def write(self, model_number: Callable[[int], int]) -> None:
        """Give the part its number in the run, and write its records.

        Args:
            model_number: returns the final number of a model by its provisional one.
        """
        if not self._records:
            return
        first = self._records[0][0]
        number = super().begin_fit() if first.fit is not None else super().begin(first.kind)
        for record, weights in self._records:
            super().append(_numbered(record, number, model_number), weights=weights)
        for step in self._steps:
            super().append_step(replace(step, fit=number))
        self._records, self._steps = [], []


def _numbered(record: Record, number: int, model_number: Callable[[int], int]) -> Record:
    """Return a record with the final numbers of its fit, loop or result, and of its models."""
    if record.fit is None:
        return replace(record, index=number)
    record = replace(record, fit=number)
    if record.kind != "fit":
        return record
    models = [model_number(m) for m in record.extra["models"]]
    return replace(
        record, sections={"fit": array_digest("fit", number)}, extra=dict(record.extra) | {"models": models}
    )
