"""The evidence of a diagnosis as the rules ask for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from keras_repro.root_cause.evidence import Evidence
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.root_line import find_root_line
from keras_repro.root_cause.suspects import (
    ENTROPY,
    Suspect,
    differing_seeds,
    entropy_suspects,
    file_suspects,
    line_suspects,
    seeded_generators,
    thread_suspects,
    unseeded_generators,
    user_line,
)
from keras_repro.source_code.dataflow import SourceModel
from keras_repro.source_code.nondeterminism import DRAW, SOURCE, nondeterminism_level
from keras_repro.storage.divergence_report import (
    Difference,
    E,
    LayerDescription,
    differences_of,
)
from keras_repro.storage.trace_file import (
    BatchEvent,
    CallEvent,
    ContextEvent,
    DataEvent,
    EntropyEvent,
    FitEvent,
    HookEvent,
    LineEvent,
    RecordEvent,
    StepBeginEvent,
    ThreadLineEvent,
    VariableEvent,
)
from keras_repro.utils.mappings import differing_names
from keras_repro.utils.source_line import SourceLine

SET_SEED = "keras.utils.set_random_seed(42)"

SEED_OR_OWN = f"{SET_SEED}  # first of all, or give the operation a seed of its own, such as seed=42"

NOT_IN_A_THREAD = "change it between steps, by step or epoch: in a callback, or in the training loop itself"


class DiagnosisCase:
    """The evidence as the rules ask for it.

    Attributes:
        evidence: the evidence.
        report: of the second process.
        event: the checked event that differs.
        state: evidence from the state and the data.
        record_kind: kind of the ledger record that differs, empty for a step.
        files: the user's files that ran.
        code: their source code.
        thread_lines: file and number of each line that ran outside the main thread.
        first_runs: for each line in the main thread, by file and number, how many lines had run by then.
        same_with_hash_seed: whether the further process, with the hash seed of the first, agreed with it.
        seeded: for each of the process's own generators that a seed set, how many lines had run by then.
        suspects: the lines that may be the cause, in the order of their first difference.
        file_reads: those of them that read a file of an earlier run.
        ruled_out: what was found to agree, a line each.
        noticed: further evidence, a line each.
    """

    def __init__(self, evidence: Evidence) -> None:
        report = evidence.report
        self.evidence, self.report, self.event, self.state = evidence, report, report.event, report.evidence
        self.record_kind = report.event.record_kind if isinstance(report.event, RecordEvent) else ""
        lines = [
            event
            for interval in evidence.second
            for event in interval.context
            if isinstance(event, LineEvent | ThreadLineEvent)
        ]
        self.files = {event.file for event in lines}
        self.thread_lines = {(e.file, e.line) for e in lines if isinstance(e, ThreadLineEvent)}
        self.first_runs: dict[tuple[str, int], int] = {}
        for event in lines:
            if isinstance(event, LineEvent) and event.runs:
                self.first_runs.setdefault((event.file, event.line), event.runs[0][0])
        self.code = SourceModel(self.files)
        self._held_sets = any(isinstance(event, LineEvent) and event.sets for event in lines)
        self.seeded = seeded_generators(evidence.first, evidence.second)
        self.same_with_hash_seed = self._agrees_with_hash_seed()
        self.suspects = self._find_suspects()
        self.file_reads = file_suspects(report.differences, evidence.left)
        self.suspects += self.file_reads
        self.seeded = differing_seeds(self.suspects) | self.seeded
        self.ruled_out: list[str] = []
        self.noticed: list[str] = []

    def _agrees_with_hash_seed(self) -> bool:
        third, report = self.evidence.third, self.report
        return (
            self.evidence.hash_seeds_differ
            and third is not None
            and not third.diverged
            and third.interval == report.interval
            # Otherwise its difference may only not have taken effect yet.
            and not _causes_by_themselves(report.differences) & _causes_by_themselves(third.differences)
            # If nothing depends on hashes, the further process agreed by chance.
            and (self.evidence.varied is not None or self._held_sets or self.code.uses_hashes())
        )

    def _find_suspects(self) -> list[Suspect]:
        differences, third = self.report.differences, self.evidence.third
        further = third.differences if third is not None and self.same_with_hash_seed else ()
        cleared = {d.either.key for d in differences_of(further, LineEvent)}
        suspects = line_suspects(differences, cleared=cleared)
        if cleared and not any(s.names for s in suspects):
            # No line depends on the hash seed alone: the effect of its lines was only missing by chance.
            self.same_with_hash_seed, further = False, ()
            suspects = line_suspects(differences)
        suspects += thread_suspects(self.evidence.first, self.evidence.second)
        cleared = {d.either.key for d in differences_of(further, EntropyEvent)}
        return suspects + entropy_suspects(differences, cleared=cleared)

    def is_same_event(self) -> bool:
        """Return whether both processes came to the same event, so that their states can be compared."""
        return self.report.reference is not None and self.report.reference.key == self.event.key

    def differing_tensors(self) -> list[tuple[str, str]]:
        """Return section and name of each tensor that differs in the event, in the order of the state."""
        second, first = _digests(self.event), _digests(self.report.reference)
        if first is None or second is None or not self.is_same_event():
            return []
        differing = []
        for section in ("weights", "optimizer", "seeds", "metrics", *second):
            new, old = second.get(section), first.get(section)
            if isinstance(new, Mapping) and isinstance(old, Mapping):
                differing += [(section, name) for name in differing_names(new, old)]
            elif new != old:
                differing.append((section, section))
        return list(dict.fromkeys(differing))

    def digests_of(self, section: str, tensor: str) -> tuple[str | None, str | None]:
        """Return the digests of a tensor in the first and the second process."""
        first, second = (
            section_digests.get(tensor) if isinstance(section_digests, Mapping) else section_digests
            for section_digests in (
                (_digests(event) or {}).get(section) for event in (self.report.reference, self.event)
            )
        )
        return first, second

    def context(self, kind: type[E], *, nearby: bool = False) -> list[Difference[E]]:
        """Return the differences in context events of a kind; if `nearby`, only of the last interval."""
        differences = differences_of(self.report.differences, kind)
        return [d for d in differences if not nearby or d.interval == self.report.interval]

    def position(self) -> tuple[int | None, int | None, int | None]:
        """Return the numbers of the fit, the epoch and the step, from 0."""
        if not isinstance(self.event, RecordEvent):
            position = self.event.position
            in_fit = position.in_fit
            return (position.fit if in_fit else None), (position.epoch if in_fit else None), position.step
        if self.record_kind in ("evaluation", "prediction", "loop", "exit"):
            return None, None, None
        numbers = [int(p) for p in self.event.position.split()[1:] if p.isdecimal()]
        epoch = numbers[1] if len(numbers) > 1 and self.record_kind == "epoch" else None
        return (numbers[0] if numbers else None), epoch, None

    def is_first_step(self) -> bool:
        """Return whether the event is the state before the first step of an epoch or a loop."""
        if isinstance(self.event, StepBeginEvent):
            return self.event.position.step == 0
        return self.record_kind == "loop" and "results" not in self.event.tensors

    def position_text(self) -> str:
        """Return the position in words, counted from 1."""
        fit, epoch, step = self.position()
        numbered = (("fit", fit), ("epoch", epoch), ("step", step))
        words = [f"{name} {number + 1}" for name, number in numbered if number is not None]
        if isinstance(self.event, StepBeginEvent):
            words.append("before it began" if step else "before the first step")
        if self.record_kind not in ("", "epoch"):
            words.append(f"the {self.record_kind}")
        return ", ".join(words)

    def method_calls(self) -> list[SourceLine]:
        """Return the lines that called `fit`, `evaluate` and the like up to the event, latest first."""
        calls = [
            event.source
            for interval in self.evidence.first[: self.report.interval + 1]
            for event in interval.context
            if isinstance(event, CallEvent)
        ]
        return calls[::-1]

    def nearby_suspects(self) -> list[Suspect]:
        """Return the suspects of the interval that the event ends."""
        return [s for s in self.suspects if s.interval == self.report.interval]

    def user_layer(self, name: str, layer_class: str) -> LayerDescription:
        """Return a layer by its name; for a layer inside a library's, the one that the user constructed."""
        known = self.state.layers.get(name)
        while known is not None and known.is_inner and "/" in name:
            name = name.rpartition("/")[0]
            known = self.state.layers.get(name, known)
        if known is None:
            return LayerDescription(name=name, layer_class=layer_class)
        return LayerDescription(name=name, layer_class=known.layer_class, source=known.source)

    def running_thread(self) -> SourceLine | None:
        """Return the line that started a thread which was still running at the divergence."""
        return next(iter(self.report.threads), None)

    def stepping_threads(self) -> int:
        """Return the number of threads that train the same weights; 0 if it is not more than one.

        The processes may diverge before the second thread makes its first step. Then the rest of the first
        process shows how many there are.
        """
        counts = [self.state.stepping_threads]
        if self.running_thread() is not None:
            events = (e for t in (self.evidence.first, self.evidence.second) for i in t for e in i.context)
            counts += [event.threads for event in events if isinstance(event, BatchEvent)]
        return max(counts) if max(counts) > 1 else 0

    def owner(self, tensor: str | None) -> LayerDescription | None:
        """Return the layer that holds a tensor, None if that is not known."""
        if tensor is None:
            return None
        owners = self.state.owners
        name = tensor.removesuffix(" before").removesuffix(" at the start")
        if name in owners:
            return owners[name]
        # A slot of an optimizer is named by the weight that it serves.
        served = [n for n in owners if name.endswith(f"/{n}")]
        return owners[max(served, key=len)] if served else None

    def explanation(
        self,
        cause: str,
        sentence: str,
        *,
        tensor: str | None = None,
        source: SourceLine | None = None,
        fix: str | None = None,
        evidence: Iterable[str] = (),
        layer: LayerDescription | None = None,
        operation: str | None = None,
        subject: str | None = None,
    ) -> Explanation:
        """Return an explanation with the position and the layer filled in; by default the tensor's owner."""
        fit, epoch, step = self.position()
        owner = layer or self.owner(tensor) or LayerDescription()
        return Explanation(
            cause=cause,
            sentence=sentence,
            place=self.position_text(),
            fit=fit,
            epoch=epoch,
            step=step,
            layer=owner.name or None,
            layer_class=owner.layer_class or None,
            variable=tensor,
            operation=operation,
            subject=subject,
            source=source,
            evidence=tuple(evidence),
            fix=fix,
        )

    def root_line(
        self, *sinks: SourceLine | None, nearby: bool = False, strict: bool = False
    ) -> SourceLine | None:
        """Return the line from which the sinks were computed.

        Args:
            *sinks: lines where the difference showed.
            nearby: whether to search the last interval first.
            strict: whether to return None, and not the best other suspect, if none leads to the sinks.
        """
        near = self.nearby_suspects() if nearby else []
        if near:
            sinks = tuple(s.source for s in near)
            return self._root_of(sinks, interval=self.report.interval) or near[0].source
        return self._root_of(sinks, strict=strict)

    def draws_unseeded(self, source: SourceLine | None) -> bool:
        """Return whether a line drew from a generator of the process that no seed had set."""
        return source is not None and any(
            s.at == (source.file, source.line) and unseeded_generators(s, self.seeded) for s in self.suspects
        )

    def is_source(self, source: SourceLine) -> bool:
        """Return whether a line is a source of nondeterminism by itself, by its text or its values."""
        asks = any(s.at == (source.file, source.line) and ENTROPY in s.names for s in self.suspects)
        return asks or self.draws_unseeded(source) or nondeterminism_level(source.code) == SOURCE

    def background_thread_line(self) -> SourceLine | None:
        """Return the line from which the values in other threads were computed."""
        sinks = [s.source for s in self.suspects if s.interval < 0]
        root = self._root_of(sinks, interval=-1) if sinks else None
        if root is None or nondeterminism_level(root.code) or self.is_source(root):
            return root
        # If the draws come in the same order, for other pieces of work, the line that draws is the cause.
        drawing = [at for at in self.thread_lines if nondeterminism_level(self.code.text_at(*at)) == DRAW]
        return user_line(*drawing[0]) if len(drawing) == 1 else root

    def _root_of(
        self, sinks: Iterable[SourceLine | None], *, interval: int | None = None, strict: bool = False
    ) -> SourceLine | None:
        root = find_root_line(
            self.suspects, sinks, interval=interval, files=self.files, strict=strict, seeded=self.seeded
        )
        return None if root is None else root.source


def seeds_set(case: DiagnosisCase, *, second: bool = False) -> Mapping[str, Any]:
    """Return the seeds that were set when the last fit began, by library; empty if no fit began.

    Args:
        case: the case.
        second: whether to return those of the second process.
    """
    trace = case.evidence.second if second else case.evidence.first
    for interval in reversed(trace[: case.report.interval + 1]):
        if isinstance(interval.checked, RecordEvent) and interval.checked.seeds_set:
            return interval.checked.seeds_set
    return {}


def _digests(event: Any) -> Mapping[str, Mapping[str, str] | str] | None:
    """Return the digests that an event compares, by section."""
    if event is None:
        return None
    return {**event.tensors, **(event.sections if isinstance(event, RecordEvent) else {})}


def _causes_by_themselves(differences: Iterable[Difference[ContextEvent]]) -> set[tuple[Any, ...]]:
    """Return the keys of differences that are a cause by themselves: data, initial values, hooks."""
    return {
        d.either.key
        for d in differences
        if isinstance(d.either, FitEvent | DataEvent | BatchEvent | HookEvent)
        or (isinstance(d.either, VariableEvent) and not d.either.is_seed)
    }
