"""The evidence of a diagnosis in the forms in which the rules ask for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.suspects import (
    Suspect,
    entropy_suspects,
    find_root_line,
    reading_suspects,
    suspects_of,
    thread_suspects,
)
from keras_repro.source_code.dataflow import SourceModel
from keras_repro.storage.trace_file import Interval
from keras_repro.utils.mappings import differing_names

SET_SEED = "keras.utils.set_random_seed(42)"

NOT_IN_A_THREAD = "change it between steps, by step or epoch: in a callback, or in the loop itself"


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the processes of a diagnosis have left.

    Attributes:
        first: the trace of the first one, interval by interval.
        second: the trace of the second one.
        parting: what the second one wrote where it parted from the first.
        second_try: what a further one wrote, which had the hash seed of the first; None where there is none.
        taps: the values that flowed through the replayed step, by process: `{number: array}`.
        hash_seeds_differ: whether the first two processes had other hash seeds, or other surroundings.
        varied: what differs between their surroundings, in words, where these were varied.
        left: files that an earlier run has made, and that were not there for the first process.
    """

    first: Sequence[Interval]
    second: Sequence[Interval]
    parting: Mapping[str, Any]
    second_try: Mapping[str, Any] | None = None
    taps: Sequence[Mapping[int, Any]] = ()
    hash_seeds_differ: bool = False
    folder: Path = field(default_factory=Path)
    varied: str | None = None
    left: frozenset[str] = frozenset()


class DiagnosisCase:
    """The evidence in the forms in which the rules ask for it."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        parting = evidence.parting
        self.event: Mapping[str, Any] = parting["event"]
        self.other: Mapping[str, Any] | None = parting.get("other")
        self.number: int = parting["number"]
        self.differences: Sequence[Mapping[str, Any]] = parting.get("differences", ())
        self.owners: Mapping[str, Any] = parting.get("models", {})
        self.replay: Mapping[str, Any] = parting.get("replay", {})
        again = evidence.second_try
        self.files = {
            e.info["file"] for i in evidence.second for e in i.soft if e.kind in ("line", "thread line")
        }
        self.same_with_hash_seed = (
            evidence.hash_seeds_differ
            and again is not None
            and not again.get("parted", True)
            and again.get("number") == self.number
            # It did not part only because what differs had not come to bear: the first batch was the same.
            and not _explaining(self.differences) & _explaining(again.get("differences", ()))
            # Where nothing goes by hashes, the further run did the same by chance.
            and (evidence.varied is not None or self._goes_by_hashes())
        )
        cleared = ()
        if self.same_with_hash_seed and again is not None:
            cleared = tuple(d["key"] for d in again.get("differences", ()) if d["kind"] == "line")
        self.suspects: list[Suspect] = suspects_of(self.differences, cleared=cleared)
        if cleared and not any(s.names for s in self.suspects):
            # Nothing is the hash seed's alone: the further run only had not come to what its lines would do.
            self.same_with_hash_seed = False
            self.suspects = suspects_of(self.differences)
        self.suspects += thread_suspects(evidence.first, evidence.second)
        asked = () if again is None or not self.same_with_hash_seed else again.get("differences", ())
        self.suspects += entropy_suspects(
            self.differences, cleared={d["key"] for d in asked if d["kind"] == "entropy"}
        )
        self.reads = reading_suspects(self.differences, evidence.left)
        self.suspects += self.reads
        self._seeded = _seeded(evidence)
        self.kind: str = self.event["kind"]
        self.record: str = self.event.get("info", {}).get("kind", "") if self.kind == "record" else ""
        self.layers: Mapping[str, Any] = parting.get("layers", {})
        self.ruled_out: list[str] = []
        self.noticed: list[str] = []

    def tensors(self) -> list[tuple[str, str]]:
        """Section and name of each tensor that differs in the event, in the order of the state."""
        mine = self.event.get("value")
        theirs = (self.other or {}).get("value")
        if not isinstance(mine, Mapping) or not isinstance(theirs, Mapping):
            return []
        found = []
        for section in ("weights", "optimizer", "seeds", "metrics", *mine):
            left, right = mine.get(section), theirs.get(section)
            if isinstance(left, Mapping) and isinstance(right, Mapping):
                found += [(section, name) for name in differing_names(left, right)]
            elif left != right:
                found.append((section, section))
        return list(dict.fromkeys(found))

    def _goes_by_hashes(self) -> bool:
        """Whether the user's code names a set or a hash, or a line of it has held a set."""
        held = any("sets" in e.info for i in self.evidence.second for e in i.soft if e.kind == "line")
        return held or SourceModel(set(self.files)).uses_hashes()

    def soft(self, kind: str, *, here: bool = False) -> list[Mapping[str, Any]]:
        """The soft differences of a kind, or only those of the interval that the differing event ends."""
        return [
            d for d in self.differences if d["kind"] == kind and (not here or d["interval"] == self.number)
        ]

    def place(self) -> tuple[int | None, int | None, int | None]:
        """Numbers of the fit, the epoch and the step."""
        parts = self.event["key"].split()
        if self.kind in ("begin", "end"):
            in_fit = int(parts[0]) >= 0
            return (int(parts[0]) if in_fit else None), (int(parts[1]) if in_fit else None), int(parts[2])
        if self.record in ("evaluation", "prediction", "loop", "exit"):
            return None, None, None
        numbers = [int(p) for p in parts[1:] if p.isdecimal()]
        epoch = numbers[1] if len(numbers) > 1 and self.record == "epoch" else None
        return (numbers[0] if numbers else None), epoch, None

    def in_words(self) -> str:
        """The place for people, counted from 1."""
        fit, epoch, step = self.place()
        named = (("fit", fit), ("epoch", epoch), ("step", step))
        words = [f"{n} {v + 1}" for n, v in named if v is not None]
        if self.kind == "begin":
            words.append("before it began" if step else "before the first step")
        if self.kind == "record" and self.record not in ("epoch",):
            words.append(f"the {self.record}")
        return ", ".join(words)

    def fit_call(self) -> Mapping[str, Any] | None:
        """The user's line that called `fit`, as far as the traces tell."""
        for each in reversed(self.evidence.first):
            for event in each.soft:
                if event.kind == "call":
                    return event.info.get("source")
        return None

    def calls(self) -> list[Mapping[str, Any]]:
        """The user's lines that called `fit`, `evaluate` and the like before they parted, latest first."""
        found = []
        for interval in self.evidence.first[: self.number + 1]:
            found += [e.info["source"] for e in interval.soft if e.kind == "call" and e.info.get("source")]
        return found[::-1]

    def near(self) -> list[Suspect]:
        """The suspects of the interval that the differing event ends."""
        return [s for s in self.suspects if s.interval == self.number]

    def first_tensor(self) -> str | None:
        """The name of the first tensor that differs."""
        return next((name for _, name in self.tensors()), None)

    def layer(self, name: str, kind: str) -> Mapping[str, Any]:
        """A layer by its name: the one that the user made, where a library made it inside of that."""
        known: Mapping[str, Any] = self.layers.get(name, {})
        while known.get("inner") and "/" in name:
            name = name.rpartition("/")[0]
            known = self.layers.get(name, known)
        return {"layer": name, "class": known.get("class", kind), "source": known.get("source")}

    def running_thread(self) -> Mapping[str, Any] | None:
        """The line that started a thread which was still running where they parted."""
        return next(iter(self.evidence.parting.get("threads", ())), None)

    def elsewhere(self) -> Suspect | None:
        """The line that what threads did goes back to."""
        sinks = [s.to_dict() for s in self.suspects if s.interval < 0]
        return (
            find_root_line(self.suspects, sinks, interval=-1, files=self.files, seeded=self._seeded)
            if sinks
            else None
        )

    def owner(self, tensor: str) -> Mapping[str, Any]:
        """The layer that holds a tensor, its class and the line that made it; empty if that is not known."""
        name = tensor.removesuffix(" before").removesuffix(" at the start")
        if name in self.owners:
            return dict(self.owners[name])
        # A slot of an optimizer is named by the weight that it serves.
        served = [n for n in self.owners if name.endswith(f"/{n}")]
        return self.owners[max(served, key=len)] if served else {}

    def said(
        self,
        cause: str,
        sentence: str,
        *,
        tensor: str | None = None,
        source: Mapping[str, Any] | None = None,
        fix: str | None = None,
        evidence: Iterable[str] = (),
        layer: Mapping[str, Any] | None = None,
        operation: str | None = None,
    ) -> Explanation:
        """An explanation, with the place and the layer filled in."""
        fit, epoch, step = self.place()
        owner = layer if layer is not None else (self.owner(tensor) if tensor else {})
        return Explanation(
            cause=cause,
            sentence=sentence,
            place=self.in_words(),
            fit=fit,
            epoch=epoch,
            step=step,
            layer=owner.get("layer") or None,
            layer_class=owner.get("class") or None,
            variable=tensor,
            operation=operation,
            source=source,
            evidence=tuple(evidence),
            fix=fix,
        )

    def root(
        self, *sinks: Mapping[str, Any] | None, here: bool = False, strict: bool = False
    ) -> Suspect | None:
        """The line that what went wrong goes back to; `here` looks in the last interval first.

        Where none is known to lead to the sinks, it is the best of the rest, or none if `strict`.
        """
        if here:
            near = [s for s in self.suspects if s.interval == self.number]
            if near:
                sinks = tuple(s.to_dict() for s in near)
                found = find_root_line(
                    self.suspects, sinks, interval=self.number, files=self.files, seeded=self._seeded
                )
                return found or near[0]
        return find_root_line(self.suspects, sinks, files=self.files, strict=strict, seeded=self._seeded)


def _seeded(evidence: Evidence) -> set[str]:
    """Those of the process's own generators that once were in the same state in both runs."""
    held = [
        {
            (e.key, name, e.value[name])
            for interval in trace
            for e in interval.soft
            if e.kind == "line" and isinstance(e.value, Mapping)
            for name in ("random", "np.random")
            if name in e.value
        }
        for trace in (evidence.first, evidence.second)
    ]
    return {name for _, name, _ in held[0] & held[1]}


def _explaining(differences: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """The differences that would be a cause by themselves: data, first values of weights, hooks."""
    return {
        (d["kind"], d["key"])
        for d in differences
        if d["kind"] in ("fit", "data", "batch", "hook")
        or (d["kind"] == "birth" and not (d.get("mine") or d.get("other") or {})["info"].get("seed"))
    }


def as_source(suspect: Suspect | None) -> Mapping[str, Any] | None:
    return None if suspect is None else suspect.to_dict()


def seeds_set(case: DiagnosisCase, *, second: bool = False) -> Mapping[str, Any] | None:
    """The seeds that were set when the last fit began, None where no fit did; those of the `second` run."""
    trace = case.evidence.second if second else case.evidence.first
    for interval in reversed(trace[: case.number + 1]):
        if interval.hard is not None and interval.hard.info.get("seeds_set"):
            return dict(interval.hard.info["seeds_set"])
    return None
