"""Wrap `model.train_function`: record the state before and after each step, and its batches.

Batches are taken from the iterator first, and passed to the training function through a substitute iterator
with the same element spec, so that the step runs the same graph.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from keras_repro.determinism.seeds import capture_rng_state
from keras_repro.storage.divergence_report import StateEvidence
from keras_repro.storage.trace_file import BatchEvent, StepBeginEvent, StepEndEvent, StepPosition
from keras_repro.training.backends.train_function import TrainFunctionWrapper, wrappers_of
from keras_repro.training.data.batch_digests import batch_digests, row_digests
from keras_repro.training.data.batch_feed import iterator_like
from keras_repro.training.replay.recorded_step import PreStepState, RecordedStep
from keras_repro.training.replay.replay import replay
from keras_repro.training.state.fast_reader import StateReader

if TYPE_CHECKING:
    from keras_repro.training.probes.event_log import EventLog

_MAX_REMAINING = 2000  # batches of an epoch that are read to tell another order from other samples


class TrainStepProbe(TrainFunctionWrapper):
    """A model's training function that records each call.

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

    @classmethod
    def unwrap(cls, model: Any) -> None:
        """Remove the probe of `model.train_function`, if there is one."""
        for wrapper in list(wrappers_of(getattr(model, "train_function", None))):
            if isinstance(wrapper, cls):
                wrapper.uninstall()

    def __call__(self, iterator: Any) -> Any:
        """Run the step."""
        log, model = self._log, self._model
        if not log.active or not tf.executing_eagerly():
            return self.function(iterator)
        taken = self._take_batches(iterator)
        if taken is None:
            return self.function(iterator)  # it has no more batches, and reports that itself
        batches, spec, feed = taken
        position = log.position(model)
        self._reader.refresh(full=False)
        before = self._reader.tensor_digests()
        log.check(
            StepBeginEvent(position=position, tensors=checked_sections(before)),
            evidence=lambda: log.sites.evidence(model, self._reader.tensors),
        )
        for batch in batches:
            log.note(
                BatchEvent(position=position, parts=batch_digests(batch), rows=tuple(row_digests(batch)))
            )
        generators = capture_rng_state()
        values: dict[int, Any] = {}
        if log.needs_copies:
            copies = zip(self._reader.tensors, self._reader.copy(), strict=True)
            values = {id(tensor.variable): value for tensor, value in copies}
        count = len(values)
        with log.variables.storing_initial_values(values):
            result = self.function(feed)
        self._reader.refresh(full=len(values) > count)
        after = self._reader.tensor_digests()
        complete = all(id(t.variable) in values for t in self._reader.tensors)
        step = RecordedStep(
            model=model,
            function=self.function,
            batches=tuple(batches),
            spec=spec,
            reader=self._reader,
            before=PreStepState([values[id(t.variable)] for t in self._reader.tensors] if complete else ()),
            generators=generators,
            after=after,
        )
        values.clear()
        log.check(
            StepEndEvent(position=position, tensors=checked_sections(after) | _changed(before, after)),
            evidence=lambda: self._evidence(step, iterator, position),
        )
        log.count_steps(model, max(1, len(batches)))
        return result

    def _take_batches(self, iterator: Any) -> tuple[list[Any], Any, Any] | None:
        """Return the batches of one call, their spec, and the input of the training function.

        None if the iterator has ended. The batches are empty if they could not be passed on unchanged.
        """
        if not isinstance(iterator, tf.data.Iterator):
            batches = list(iterator)
            return (batches, None, iter(batches)) if batches else None
        spec = iterator.element_spec
        if not all(isinstance(s, tf.TypeSpec) for s in tf.nest.flatten(spec)):
            return [], None, iterator
        batches = list(itertools.islice(iterator, int(getattr(self._model, "steps_per_execution", 1) or 1)))
        if not batches:
            return None
        return batches, spec, iterator_like(batches, spec) or iter(batches)

    def _evidence(self, step: RecordedStep, iterator: Any, position: StepPosition) -> StateEvidence:
        log = self._log
        evidence = replace(
            log.sites.evidence(step.model, step.reader.tensors),
            remaining_rows=self._remaining_rows(iterator, log.steps_left(position)),
        )
        if log.replays and step.before and step.batches:
            evidence = replace(evidence, replay=replay(step, log.folder))
        return evidence

    def _remaining_rows(self, iterator: Any, steps: int) -> tuple[tuple[str, ...], ...]:
        rows: list[tuple[str, ...]] = []
        if isinstance(iterator, tf.data.Iterator):
            with contextlib.suppress(tf.errors.OpError):
                for batch in itertools.islice(iterator, min(steps, _MAX_REMAINING)):
                    rows.append(tuple(row_digests(batch)))
        return tuple(rows)


def checked_sections(digests: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return the sections of a state that must match before and after each step."""
    return {s: dict(digests[s]) for s in ("weights", "optimizer") if s in digests}


def _changed(
    before: Mapping[str, Mapping[str, str]], after: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Return the seed generators and metrics that the step has changed; generators also as before it."""
    result: dict[str, dict[str, str]] = {}
    for section in ("seeds", "metrics"):
        old, new = before.get(section, {}), after.get(section, {})
        changed = {n: d for n, d in new.items() if old.get(n) != d}
        if section == "seeds":
            changed |= {f"{n} before": old[n] for n in list(changed) if n in old}
        if changed:
            result[section] = changed
    return result
