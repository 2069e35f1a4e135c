"""Stands before a model's training function: the state before and after each step, and the batch between.

The batch is taken from the iterator first and given to the training function by a stand-in of the same
element spec, so that the step runs the very graph that it would have run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from keras_repro.determinism.seeds import capture_rng_state
from keras_repro.storage.trace_file import Event
from keras_repro.training.backends.train_function import TrainFunctionWrapper, wrappers_of
from keras_repro.training.data.batch_digests import batch_digests, row_digests
from keras_repro.training.data.batch_feed import iterator_like
from keras_repro.training.probes.layer_descriptions import describe_layers, describe_owners
from keras_repro.training.replay.recorded_step import PreStepState, RecordedStep
from keras_repro.training.replay.replay import replay
from keras_repro.training.state.fast_reader import StateReader

if TYPE_CHECKING:
    from keras_repro.training.probes.event_log import EventLog

_HARD_SECTIONS = ("weights", "optimizer")
_MOST_LEFT = 2000  # batches of an epoch that are looked through to tell another order from other samples


class TrainStepProbe(TrainFunctionWrapper):
    """A model's training function with a look before and after each call.

    Args:
        log: receives the events.
        model: the model.
    """

    def __init__(self, log: EventLog, model: Any) -> None:
        super().__init__(model)
        self._log = log
        self._reader = StateReader(model)

    @classmethod
    def wrap(cls, log: EventLog, model: Any) -> None:
        """Wrap `model.train_function`, if it is set and not wrapped yet."""
        function = getattr(model, "train_function", None)
        if function is not None and not any(isinstance(w, cls) for w in wrappers_of(function)):
            cls(log, model).install()

    def __call__(self, iterator: Any) -> Any:
        """Runs the step."""
        log, model = self._log, self._model
        if not log.active or not tf.executing_eagerly():
            return self.function(iterator)
        taken = self._taken(iterator)
        if taken is None:
            return self.function(iterator)  # it has no more batches, and says so in its own way
        batches, spec, feed = taken
        place = log.position(model)
        self._reader.refresh(full=False)
        before = self._reader.tensor_digests()
        log.check(
            Event(kind="begin", key=place, value=_hard(before)),
            evidence=lambda: {
                "models": describe_owners(log.sites, model, self._reader.tensors),
                "layers": describe_layers(log.sites, model),
            },
        )
        for batch in batches:
            log.note(
                Event(kind="batch", key=place, value=batch_digests(batch), info={"rows": row_digests(batch)})
            )
        generators = capture_rng_state()
        copy: dict[int, Any] = {}
        if log.follows:
            held = zip(self._reader.tensors, self._reader.copy(), strict=True)
            copy = {id(tensor.variable): value for tensor, value in held}
        known = len(copy)
        with log.variables.storing_initial_values(copy):
            result = self.function(feed)
        self._reader.refresh(full=len(copy) > known)
        after = self._reader.tensor_digests()
        whole = all(id(t.variable) in copy for t in self._reader.tensors)
        step = RecordedStep(
            model=model,
            function=self.function,
            batches=tuple(batches),
            spec=spec,
            reader=self._reader,
            before=PreStepState([copy[id(t.variable)] for t in self._reader.tensors] if whole else ()),
            generators=generators,
            after=after,
        )
        copy.clear()
        value = _hard(after) | _moved(before, after)
        log.check(
            Event(kind="end", key=place, value=value),
            evidence=lambda: self._evidence(step, iterator, place),
        )
        log.count_steps(model, max(1, len(batches)))
        return result

    def _taken(self, iterator: Any) -> tuple[list[Any], Any, Any] | None:
        """The batches of one call, their spec, and what to give the training function; None at the end.

        There are no batches where they could not be given again as they were.
        """
        if not isinstance(iterator, tf.data.Iterator):
            held = list(iterator)
            return (held, None, iter(held)) if held else None
        spec = iterator.element_spec
        if not all(isinstance(s, tf.TypeSpec) for s in tf.nest.flatten(spec)):
            return [], None, iterator
        batches: list[Any] = []
        for _ in range(int(getattr(self._model, "steps_per_execution", 1) or 1)):
            try:
                batches.append(next(iterator))
            except StopIteration:
                break
        if not batches:
            return None
        return batches, spec, iterator_like(batches, spec) or iter(batches)

    def _evidence(self, step: RecordedStep, iterator: Any, place: str) -> dict[str, Any]:
        log = self._log
        found: dict[str, Any] = {
            "models": describe_owners(log.sites, step.model, step.reader.tensors),
            "layers": describe_layers(log.sites, step.model),
            "rest": self._rest(iterator, place),
        }
        if log.replays and step.before and step.batches:
            found["replay"] = replay(step, log.folder)
        return found

    def _rest(self, iterator: Any, place: str) -> list[list[str]]:
        """The rows of the batches that the epoch would still have had."""
        left = self._log.steps_left(place)
        rows: list[list[str]] = []
        while isinstance(iterator, tf.data.Iterator) and len(rows) < min(left, _MOST_LEFT):
            try:
                rows.append(row_digests(next(iterator)))
            except (StopIteration, tf.errors.OpError):
                break
        return rows


def _hard(digests: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    return {s: dict(digests[s]) for s in _HARD_SECTIONS if s in digests}


def _moved(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """What the step has changed beside weights and optimizer: generators with their start, and metrics."""
    result: dict[str, dict[str, str]] = {}
    for section in ("seeds", "metrics"):
        old, new = before.get(section, {}), after.get(section, {})
        moved = {n: d for n, d in new.items() if old.get(n) != d}
        if section == "seeds":
            moved |= {f"{n} before": old[n] for n in list(moved) if n in old}
        if moved:
            result[section] = moved
    return result
