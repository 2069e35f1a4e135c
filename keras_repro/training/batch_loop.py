"""The `train_on_batch` calls on one model: their results, and the model's state along the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from keras_repro.control.seeds import process_generators
from keras_repro.record.digest import array_digest, section_digest
from keras_repro.record.schema import Record
from keras_repro.training import keras_api
from keras_repro.training.run_recorder import RunRecorder


class BatchLoop:
    """The `train_on_batch` calls on one model."""

    def __init__(self, run: RunRecorder, model: Any, index: int) -> None:
        from keras_repro.training.values import log_digests

        self._digest_logs = log_digests
        self._run, self._model, self._index = run, model, index
        self._results = ""
        self._steps = self._recorded = 0

    @contextmanager
    def begin(self) -> Iterator[None]:
        """Records the state before the first step, and what that step brings to the world."""
        from keras_repro.training import births
        from keras_repro.training.state import model_state
        from keras_repro.training.values import digest_with, shape_of

        known = {t.name for t in model_state(self._model)}
        if known:
            self._record({}, steps=0)
        with births.watch() as born:
            yield
            new = [t for t in model_state(self._model) if t.name not in known]
            tensors: dict[str, dict[str, str]] = {}
            shapes = {}
            for tensor in new:
                content = born.content(tensor.variable)
                if content is not None and tensor.section in ("weights", "optimizer"):
                    tensors.setdefault(tensor.section, {})[tensor.name] = digest_with(tensor, content)
                    shapes[tensor.name] = shape_of(tensor)
            if tensors:
                self._append("birth", tensors, {}, shapes)

    def step(self, result: Any) -> None:
        """Takes in one step's result."""
        values = result if isinstance(result, dict) else {"result": result}
        digests = self._digest_logs(values)
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
        tensors, latent, shapes = present_state({"": self._model})
        self._append("loop", tensors | dict(results), latent, shapes, steps=steps)

    def _append(
        self, kind: str, tensors: dict[str, Any], latent: dict[str, Any], shapes: dict[str, Any], **more: Any
    ) -> None:
        self._run.append(
            Record(
                kind=kind,
                index=self._index,
                sections={name: section_digest(held) for name, held in tensors.items()},
                tensors=tensors,
                latent=latent,
                shapes=shapes,
                extra={"seeds_set": keras_api.seeds_set(), **more},
            )
        )


def present_state(
    models: Mapping[str, Any],
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    from keras_repro.training.state import model_state
    from keras_repro.training.values import digests_of, shape_of

    state = model_state(models)
    digests = digests_of(state)
    tensors = {s: digests[s] for s in ("weights", "optimizer") if digests.get(s)}
    latent = {"process generators": process_generators()}
    if digests.get("seeds"):
        latent["seeds"] = digests["seeds"]
    return tensors, latent, {t.name: shape_of(t) for t in state}
