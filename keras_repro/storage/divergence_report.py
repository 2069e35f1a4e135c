"""What a diagnosing process reports at the point of divergence: the mismatch, its context and a replay."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar, cast

from keras_repro.storage.trace_file import CheckedEvent, ContextEvent
from keras_repro.utils.json_record import JsonRecord
from keras_repro.utils.source_line import SourceLine

E = TypeVar("E", bound=ContextEvent)


@dataclass(frozen=True, kw_only=True)
class Difference(JsonRecord, Generic[E]):
    """A context event that differs from the reference trace, or is in only one of the two.

    Attributes:
        interval: number of the interval, from 0.
        event: the event of the process, or None.
        reference: the event of the reference trace, or None.
    """

    interval: int
    event: E | None
    reference: E | None

    @property
    def either(self) -> E:
        """The event of the process, or of the reference trace if there is no other."""
        event = self.event or self.reference
        assert event is not None
        return event


@dataclass(frozen=True, kw_only=True)
class LayerDescription(JsonRecord):
    """A layer or optimizer: structural name, class, and the line of the user's code that constructed it.

    Attributes:
        name: its structural name, empty for an optimizer.
        layer_class: its class.
        source: the line that constructed it, None if that is not known.
        is_inner: whether a library constructed it inside another layer.
    """

    name: str = ""
    layer_class: str = ""
    source: SourceLine | None = None
    is_inner: bool = False


@dataclass(frozen=True, kw_only=True)
class TapDistance(JsonRecord):
    """How far apart two values of a tap are.

    Attributes:
        elements: the number of elements whose bits differ.
        of: the number of elements.
        largest: the largest finite absolute difference of floats; None if there is none.
        ulps: the largest number of representable values from one element to the other (0 from -0.0 to 0.0);
            None if there is none, as for NaN.
    """

    elements: int
    of: int
    largest: float | None
    ulps: int | None


@dataclass(frozen=True, kw_only=True)
class TapReport(JsonRecord):
    """One tensor inside a replayed step.

    Attributes:
        kind: `"input"`, `"output"` (of a layer), `"loss"` or `"gradient"`.
        name: structural name of the layer or variable.
        layer_class: class of the layer, empty for others.
        number: index among the taps of this kind and name.
        digests: of the first run, the second run, and a run after tracing again; None if it was not reached.
        substep: number of the batch in a call with several.
        dtype: name of its dtype.
        distance: between the first two runs, None if they are identical.
        source: the line of the user's code that made it, if that is known.
    """

    kind: str
    name: str
    layer_class: str
    number: int
    digests: tuple[str | None, str | None, str | None] = (None, None, None)
    substep: int = 0
    dtype: str | None = None
    distance: TapDistance | None = None
    source: SourceLine | None = None


@dataclass(frozen=True, kw_only=True)
class OperationReport(JsonRecord):
    """An operation of a step that asks the host, draws from a hidden counter or reads the clock.

    Attributes:
        type: its type.
        name: its name in the graph.
        layer: structural name of the layer that made it, empty if it is in none.
        layer_class: class of that layer.
        source: the line of the user's code that made it, if that is known.
        seeded: whether a seed decides what it draws; True if it draws nothing.
    """

    type: str
    name: str
    layer: str = ""
    layer_class: str = ""
    source: SourceLine | None = None
    seeded: bool = True


@dataclass(frozen=True, kw_only=True)
class TappedReport(JsonRecord):
    """What the taps of a replayed step showed.

    Attributes:
        level: which tensors were tapped, `"none"` if only the graph was inspected.
        faithful: whether the tapped step gave the recorded state.
        faithful_anew: whether it did so after tracing again.
        taps: in the order of the step.
        operations: its suspicious operations.
        error: why the step could not be tapped, or None.
    """

    level: str = "none"
    faithful: bool = True
    faithful_anew: bool = True
    taps: tuple[TapReport, ...] = ()
    operations: tuple[OperationReport, ...] = ()
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReplayReport(JsonRecord):
    """What the replay of a step showed.

    Attributes:
        faithful: whether the first repetition gave the recorded state.
        agrees: whether all repetitions gave the same state.
        agrees_drawing_on: whether they also did while the process's own generators moved on.
        differing: section and name of the tensors in which repetitions differ.
        tapped: what the taps showed, None if memory did not suffice for any.
        fewer_taps: why not all tensors were tapped, None if all were.
    """

    faithful: bool
    agrees: bool
    agrees_drawing_on: bool
    differing: tuple[tuple[str, str], ...] = ()
    tapped: TappedReport | None = None
    fewer_taps: str | None = None


@dataclass(frozen=True, kw_only=True)
class StateEvidence(JsonRecord):
    """Evidence from the state and the data at the point of divergence.

    Attributes:
        owners: the owner of each tensor by the tensor's name; `"optimizer"` is the optimizer.
        layers: each layer by its structural name.
        remaining_rows: row digests of the batches that the epoch still had.
        draws_data: whether the step itself draws batches from a dataset.
        stepping_threads: number of threads that train the same weights, 0 if it is one.
        replay: the replay of the step, None if it was not replayed.
        error: why evidence could not be collected, or None.
    """

    owners: Mapping[str, LayerDescription] = field(default_factory=dict)
    layers: Mapping[str, LayerDescription] = field(default_factory=dict)
    remaining_rows: tuple[tuple[str, ...], ...] = ()
    draws_data: bool = False
    stepping_threads: int = 0
    replay: ReplayReport | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class DivergenceReport(JsonRecord):
    """The report of a diagnosing process at its last checked event.

    Attributes:
        interval: number of the interval that the event ends, from 0.
        event: the checked event.
        reference: the checked event of the reference trace there, None at its end.
        diverged: whether they differ; False if the process only reached its target.
        differences: the context events that differ up to there.
        threads: the lines that started the threads still running.
        evidence: from the state and the data.
    """

    interval: int
    event: CheckedEvent
    reference: CheckedEvent | None = None
    diverged: bool = True
    differences: tuple[Difference[ContextEvent], ...] = ()
    threads: tuple[SourceLine, ...] = ()
    evidence: StateEvidence = field(default_factory=StateEvidence)


def context_differences(
    interval: int, events: Iterable[ContextEvent], reference: Iterable[ContextEvent]
) -> list[Difference[ContextEvent]]:
    """Return the differences between the context events of an interval, in the order of `events`."""
    waiting: dict[tuple[object, ...], list[ContextEvent]] = {}
    for event in reference:
        waiting.setdefault(event.key, []).append(event)
    differences = []
    for event in events:
        same_key = waiting.get(event.key)
        other = same_key.pop(0) if same_key else None
        if other is None or not other.matches(event):
            differences.append(Difference(interval=interval, event=event, reference=other))
    for unmatched in waiting.values():
        differences += [Difference(interval=interval, event=None, reference=event) for event in unmatched]
    return differences


def differences_of(differences: Iterable[Difference[ContextEvent]], kind: type[E]) -> list[Difference[E]]:
    """Return the differences in events of a kind."""
    return [cast("Difference[E]", d) for d in differences if isinstance(d.either, kind)]
