"""Record the `train_on_batch` calls on one model: their results, and the model's state between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras_repro.storage.digest import array_digest, section_digest
from keras_repro.training.backends.active import backend
from keras_repro.training.instrumentation.present_state import Digests, PresentState, present_state
from keras_repro.training.recording.recorded_part import RecordedPart
from keras_repro.training.recording.run_recorder import state_record
from keras_repro.training.state import initial_values
from keras_repro.training.state.digests import log_digests, shape_of
from keras_repro.training.state.initial_values import InitialValues
from keras_repro.training.state.walk import model_state


class TrainOnBatchLoop:
    """Record the `train_on_batch` calls on one model.

    Args:
        part: the part of the run that the loop becomes.
        model: the model.

    Attributes:
        part: the part of the run.
        last_digests: digests by section and name in the last record.
    """

    def __init__(self, part: RecordedPart, model: Any) -> None:
        self.part, self.model = part, model
        self.last_digests: Digests = {}
        self._index = part.begin("loop")
        self._results = ""  # digest of all results so far
        self._steps = self._recorded_steps = 0

    @contextmanager
    def first_step(self) -> Iterator[None]:
        """Record the state before the first step, and the initial values of variables that it creates."""
        existing: set[str] = set()
        with self.part.guarded("the start of train_on_batch"):
            existing = {t.name for t in model_state(self.model)}
            if existing:
                self._record({}, steps=0)
        with initial_values.watch() as initial:
            yield
        with self.part.guarded("train_on_batch"):
            self._record_initial_values(initial, existing)

    def step(self, result: Any) -> None:
        """Add the result of a step; record the state after 1, 2, 4, 8, ... steps."""
        digests = log_digests(result if isinstance(result, dict) else {"result": result})
        self._results = section_digest({**digests, "before": self._results})
        self._steps += 1
        if self._steps & (self._steps - 1) == 0:
            self.record()

    def record(self) -> None:
        """Record the state after the last step, unless that is done."""
        if self._steps == self._recorded_steps:
            return
        self._recorded_steps = self._steps
        results = {"steps": array_digest("steps", self._steps), "losses": self._results}
        self._record({"results": results}, steps=self._steps)

    def _record(self, results: Digests, *, steps: int) -> None:
        state = present_state({"": self.model})
        self.last_digests = state.tensors
        self._append("loop", PresentState(state.tensors | results, state.latent, state.shapes), steps=steps)

    def _record_initial_values(self, initial: InitialValues, existing: set[str]) -> None:
        sections = "weights", "optimizer"
        new = [t for t in model_state(self.model) if t.name not in existing and t.section in sections]
        tensors = initial.digests_of(new)
        if tensors:
            shapes = {t.name: shape_of(t) for t in new if t.name in tensors.get(t.section, {})}
            self._append("birth", PresentState(tensors, {}, shapes))

    def _append(self, kind: str, state: PresentState, **details: Any) -> None:
        self.part.append(
            state_record(
                kind,
                state.tensors,
                index=self._index,
                latent=state.latent,
                shapes=state.shapes,
                extra={"seeds_set": backend.random_state.seeds_set(), **details},
            )
        )
