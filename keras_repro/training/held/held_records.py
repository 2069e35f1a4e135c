"""Hold the records that other threads make, and write them in an order that does not depend on time.

    held = HeldRecords(run)
    part = held.new_part(model)        # in any thread
    ...
    held.write()                       # in the main thread, at the end of the run

Which of two threads records first is chance. So the records of all threads but the main one are written at
the end of the run, sorted by their content: two runs of the same trainings have the same ledger, whichever
thread made which of them, and whenever it did. The fits of one model stay in their order.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

from keras_repro.training.held.held_part import HeldPart
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.state.model_numbers import ModelNumbers


class HeldRecords:
    """The records of other threads.

    Args:
        run: the run to write them into.
    """

    def __init__(self, run: RunRecorder) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._models = ModelNumbers()
        self._by_model: dict[int, list[HeldPart]] = {}

    def new_part(self, model: Any) -> HeldPart:
        """Return a new part of a model's record."""
        part = HeldPart(self._run, self._models.number_of)
        with self._lock:
            self._by_model.setdefault(self._models.number_of(model), []).append(part)
        return part

    def write(self) -> None:
        """Number all parts and write them."""
        with self._lock:
            by_model, self._by_model = self._by_model, {}
        groups = sorted((_in_order(parts) for parts in by_model.values()), key=_key)
        # A model that no longer exists has no number in the run that could be asked for again.
        number_in_run = functools.cache(lambda number: self._run.number_of(self._models.model(number)))
        for part in (part for group in groups for part in group):
            part.write(number_in_run)


def _in_order(parts: list[HeldPart]) -> list[HeldPart]:
    """Return the parts of a model: fits and loops in their order, the results between them by content."""
    trainings = 0
    keyed = []
    for part in parts:
        trainings += not part.is_result
        keyed.append((trainings, part.is_result, part.key(), part))
    return [entry[-1] for entry in sorted(keyed, key=lambda entry: entry[:-1])]


def _key(parts: list[HeldPart]) -> list[list[str]]:
    trained = [part.key() for part in parts if not part.is_result]
    return [trained, [part.key() for part in parts if part.is_result]]
