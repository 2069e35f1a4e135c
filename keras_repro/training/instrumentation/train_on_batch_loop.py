"""The `train_on_batch` calls on one model: their results, and the model's state along the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_repro.determinism.seeds import process_generators
from keras_repro.ledger.schema import Record
from keras_repro.storage.digest import array_digest, section_digest
from keras_repro.training.backends.active import backend
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.state import initial_values
from keras_repro.training.state.initial_values import InitialValues


class BatchLoop:
    """The `train_on_batch` calls on one model."""

    def __init__(self, run: RunRecorder, model: Any, index: int) -> None:
        self.model, self.index = model, index
        self.last: dict[str, dict[str, str]] = {}
        self._run = run
        self._results = ""
        self._steps = self._recorded = 0
        self._known: set[str] = set()

    def begin(self) -> InitialValues:
        """Records the state before the first step, and watches what that step brings to the world."""
        from keras_repro.training.state.walk import model_state

        with self._run.guarded(f"loop {self.index}"):
            self._known = {t.name for t in model_state(self.model)}
            if self._known:
                self._record({}, steps=0)
        return initial_values.start()

    def take_births(self, born: InitialValues) -> None:
        """Records the variables that the first step has made at the value that they were born with."""
        from keras_repro.training.state.digests import digest_with, shape_of
        from keras_repro.training.state.walk import model_state

        initial_values.stop(born)
        tensors: dict[str, dict[str, str]] = {}
        shapes = {}
        for tensor in model_state(self.model):
            content = born.digest(tensor.variable)
            new = tensor.name not in self._known and tensor.section in ("weights", "optimizer")
            if new and content is not None:
                tensors.setdefault(tensor.section, {})[tensor.name] = digest_with(tensor, content)
                shapes[tensor.name] = shape_of(tensor)
        if tensors:
            self._append("birth", tensors, {}, shapes)

    def step(self, result: Any) -> None:
        """Takes in one step's result."""
        from keras_repro.training.state.digests import log_digests

        values = result if isinstance(result, dict) else {"result": result}
        digests = log_digests(values)
        self._results = section_digest({**digests, "before": self._results})
        self._steps += 1
        if self._steps & (self._steps - 1) == 0:
            self.end()

    def end(self) -> None:
        """Records the loop as far as it went."""
        if self._steps == self._recorded:
            return
        self._recorded = self._steps
        results = {"steps": array_digest("steps", self._steps), "losses": self._results}
        self._record({"results": results}, steps=self._steps)

    def _record(self, results: Mapping[str, Any], *, steps: int) -> None:
        tensors, latent, shapes = present_state({"": self.model})
        self.last = tensors
        self._append("loop", tensors | dict(results), latent, shapes, steps=steps)

    def _append(
        self, kind: str, tensors: dict[str, Any], latent: dict[str, Any], shapes: dict[str, Any], **more: Any
    ) -> None:
        self._run.append(
            Record(
                kind=kind,
                index=self.index,
                sections={name: section_digest(held) for name, held in tensors.items()},
                tensors=tensors,
                latent=latent,
                shapes=shapes,
                extra={"seeds_set": backend.random_state.seeds_set(), **more},
            )
        )


def moved_since_birth(models: Mapping[str, Any], born: InitialValues) -> set[str]:
    """Names of the variables that hold something else than when they were made, as far as that was seen."""
    from keras_repro.training.state.digests import content_of
    from keras_repro.training.state.walk import model_state

    moved = set()
    for tensor in model_state(models):
        first = born.digest(tensor.variable)
        if first is not None and first != content_of(tensor.variable):
            moved.add(tensor.name)
    return moved


def present_state(
    models: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """State of some models as it is now.

    Returns:
        Digests by section and name of what a chain can hold, the same of what is only noted, and shapes.
    """
    if not models:
        # Nothing to look at, and no Keras to import at the end of a script that never did.
        return {}, {"process generators": process_generators()}, {}
    from keras_repro.training.state.digests import digests_of, shape_of
    from keras_repro.training.state.walk import model_state

    state = model_state(models)
    digests = digests_of(state)
    tensors = {s: digests[s] for s in ("weights", "optimizer") if digests.get(s)}
    latent = {"process generators": process_generators()}
    if digests.get("seeds"):
        latent["seeds"] = digests["seeds"]
    return tensors, latent, {t.name: shape_of(t) for t in state}
