"""One part of a run's record: a fit, a loop, or a result. If recording it fails, it alone ends.

part = RecordedPart(run)
part.begin_fit()
with part.guarded("epoch 1"):
    part.append(record)
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from keras_repro.errors import ReproError
from keras_repro.ledger.position_text import fit_text
from keras_repro.ledger.schema import Record, StepRecord
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.recording.sketch_recorder import SketchedWeights
from keras_repro.training.state.walk import StateTensor


class RecordedPart:
    """One part of a run's record, written to the ledger at once.

    Args:
        run: the run.

    Attributes:
        run: the run.
        number: the number of the fit, loop or result in its run; None before it begins.
        broken: whether recording the part has failed.
    """

    def __init__(self, run: RunRecorder) -> None:
        self.run = run
        self.number: int | None = None
        self._is_fit = False
        self.broken = False

    @property
    def is_open(self) -> bool:
        """Whether records of the part are still written."""
        return not (self.broken or self.run.ended)

    def begin_fit(self) -> int:
        """Make the part the next fit of its run; return its number."""
        self._is_fit, self.number = True, self.run.next_fit()
        return self.number

    def begin(self, kind: str) -> int:
        """Make the part the next result or loop of its run; return its number."""
        self.number = self.run.next_index(kind)
        return self.number

    def number_of(self, model: Any) -> int:
        """Return a model's number in the run."""
        return self.run.number_of(model)

    def append(
        self, record: Record, state: Sequence[StateTensor] = (), weights: SketchedWeights | None = None
    ) -> None:
        """Write a record, and the files next to the ledger if it has a state.

        Args:
            record: the record.
            state: the tensors of the recorded state.
            weights: the weights among them.
        """
        if not self.is_open:
            return
        if weights is not None:
            # Before the record: a live comparison may end the process when it is appended.
            record = self.run.sidecar_files.add(record, state, weights)
        self.run.append(record)

    def append_step(self, record: StepRecord) -> None:
        """Write a step's record."""
        if self.is_open:
            self.run.append_step(record)

    @contextlib.contextmanager
    def guarded(self, place: str) -> Iterator[None]:
        """End the part with a warning if the block fails.

        Args:
            place: the position in the part, for the warning.

        Raises:
            ReproError: the block raised it: such an error is for the user.
        """
        try:
            yield
        except Exception as error:
            self.failed(place, error)

    def failed(self, place: str, error: Exception) -> None:
        """End the part as `guarded` does; faster than a context manager if nothing fails."""
        if isinstance(error, ReproError):
            raise error
        if self.broken:
            return
        self.broken = True
        of_fit = f" of {text}" if self._is_fit and (text := fit_text(self.number)) else ""
        self.run.note_failure(f"{place}{of_fit}", error)
