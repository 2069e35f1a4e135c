"""The evidence of a diagnosis in the forms in which the rules ask for it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_repro.examine.explanation import Explanation
from keras_repro.examine.fix import DRAW, SOURCE, fix_of, makes_generator, speaks_of_chance, with_seed
from keras_repro.examine.rewrite import rewritten
from keras_repro.examine.suspects import (
    Suspect,
    entropy_suspects,
    reading_suspects,
    root_of,
    shares,
    suspects_of,
    thread_suspects,
)
from keras_repro.examine.users_code import UsersCode, hashes, statement_text, the_one_statement
from keras_repro.record.trace import Interval

SET_SEED = "keras.utils.set_random_seed(42)"

NOT_IN_A_THREAD = "change it between steps, by step or epoch: in a callback, or in the loop itself"
_IN_ORDER = "take the results in the order in which the work was given, such as pool.map(...) gives them"
_ONE_EACH = "give each piece of work a generator of its own, such as np.random.default_rng((42, number))"
_GIVE_A_SEED = "draw from a generator that was made with a seed, such as np.random.default_rng(42)"


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


class Case:
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
                found += [(section, n) for n in dict.fromkeys([*left, *right]) if left.get(n) != right.get(n)]
            elif left != right:
                found.append((section, section))
        return list(dict.fromkeys(found))

    def _digests(self, section: str, tensor: str) -> str:
        """The two digests of a tensor that differs."""
        found = []
        for event in (self.other, self.event):
            held = ((event or {}).get("value") or {}).get(section) or {}
            digest = held.get(tensor) if isinstance(held, Mapping) else held
            found.append(str(digest)[:16] if digest else "not there")
        return f"digests of {tensor}: {found[0]} and {found[1]}"

    def _goes_by_hashes(self) -> bool:
        """Whether the user's code names a set or a hash, or a line of it has held a set."""
        held = any("sets" in e.info for i in self.evidence.second for e in i.soft if e.kind == "line")
        return held or hashes(self.files)

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

    def draws(self, source: Mapping[str, Any]) -> bool:
        """Whether a line draws from the process's own generators."""
        at = (source["file"], source["line"])
        return any((s.file, s.line) == at and {"random", "np.random"} & set(s.names) for s in self.suspects)

    def _is_suspect(self, source: Mapping[str, Any], *, raced: bool = False) -> bool:
        at = source["file"], source["line"]
        return any((s.file, s.line) == at and s.raced >= raced for s in self.suspects)

    def _draws_in_threads(self, source: Mapping[str, Any]) -> bool:
        """Whether a line draws in other threads than the main one, or in coroutines."""
        if speaks_of_chance(str(source["code"])) != DRAW:
            return False
        if UsersCode({source["file"]}).is_in_coroutine(source["file"], source["line"]):
            return True
        return any(s.interval < 0 and s.is_at(source) for s in self.suspects)

    def running_thread(self) -> Mapping[str, Any] | None:
        """The line that started a thread which was still running where they parted."""
        return next(iter(self.evidence.parting.get("threads", ())), None)

    def elsewhere(self) -> Suspect | None:
        """The line that what threads did goes back to."""
        sinks = [s.to_dict() for s in self.suspects if s.interval < 0]
        return (
            root_of(self.suspects, sinks, interval=-1, files=self.files, seeded=self._seeded)
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
                found = root_of(
                    self.suspects, sinks, interval=self.number, files=self.files, seeded=self._seeded
                )
                return found or near[0]
        return root_of(self.suspects, sinks, files=self.files, strict=strict, seeded=self._seeded)

    def _fix_of(self, source: Mapping[str, Any]) -> str | None:
        """What to change in a line, or in the whole of the statement that it belongs to."""
        code = UsersCode(set(self.files) | {source["file"]})
        whole = statement_text(source["file"], source["line"])
        held = {n for s in self.suspects if s.is_at(source) for n in s.sets}
        for text in dict.fromkeys((str(source["code"]), whole)):
            fix = fix_of(text, sets=code.sets() | held)
            if fix is not None:
                return fix
        objects = code.sets(of_objects=True) & code.read_by(source["file"], source["line"])
        return (
            f"keep {min(objects)} in a list: a set goes through objects by their addresses"
            if objects
            else None
        )

    def _fix_of_order(self, source: Mapping[str, Any]) -> str | None:
        """What to do where results are put together as they come, or files go by names of chance."""
        code = UsersCode({source["file"]})
        if shares(str(source["code"])) and code.is_in_coroutine(source["file"], source["line"]):
            return "return it, and take what asyncio.gather(...) gives: that keeps the order of the calls"
        if "sorted(" in str(source["code"]):
            return "sort by something that repeats: what it sorts by is another one in each run"
        return None

    def finished(self, found: Explanation) -> Explanation:
        """The explanation with what holds for all of them: tensors, hash seed, and what was ruled out."""
        evidence = [*found.evidence, *self.noticed]
        tensors = self.tensors()
        if tensors:
            shown = ", ".join(n for _, n in tensors[:3]) + (", ..." if len(tensors) > 3 else "")
            many = "1 tensor differs" if len(tensors) == 1 else f"{len(tensors)} tensors differ"
            evidence.insert(0, f"{many} there: {shown}")
            evidence.insert(1, self._digests(*tensors[0]))
        if self.same_with_hash_seed:
            same = "in the surroundings" if self.evidence.varied else "with the hash seed"
            evidence.append(f"a further run, {same} of the first, did the same as the first")
        for read in self.reads[:3]:
            evidence.append(f"{read.reads}: line {read.line} reads it, and a run before has written it")
        source = found.source
        if source is not None:
            source = {
                "file": source["file"],
                "line": source["line"],
                "code": statement_text(source["file"], source["line"]) or source.get("code", ""),
            }
        fix = found.fix
        if found.cause == "data_order" and not (source and speaks_of_chance(str(source["code"]))):
            came = _as_they_come(self.files)
            source, fix = (came, None) if came is not None else (source, fix)
        of_hashes = self.same_with_hash_seed and not self.evidence.varied
        if of_hashes and source is not None and _only_draws(str(source["code"])):
            # A generator knows of no hashes: its seed, or how often it is drawn from, another line decides.
            source, fix = _through_a_set(self.files) or source, None
        read_there = next((r for r in self.reads if source and r.is_at(source)), None)
        if read_there is not None:
            fix = f"begin each run without {read_there.reads}, or read a file that no run writes"
        if source is not None:
            whole, source = source["line"], _narrowed(source)
            if source["line"] != whole and fix == fix_of(statement_text(source["file"], whole)):
                fix = fix_of(str(source["code"])) or fix
        if fix is None and source is not None:
            fix = self._fix_of(source)
        if fix is None and source is not None and self._is_suspect(source):
            fix = with_seed(str(source["code"]))
        if fix is None and source is not None and self._draws_in_threads(source):
            fix = _ONE_EACH
        if fix is None and source is not None and self._is_suspect(source, raced=True):
            fix = _ONE_EACH if speaks_of_chance(str(source["code"])) == DRAW else _IN_ORDER
        if fix is None and source is not None and self.draws(source):
            fix = f"{SET_SEED}  # first of all"
        if fix is None and source is not None and self._is_suspect(source):
            fix = _GIVE_A_SEED if speaks_of_chance(str(source["code"])) == DRAW else None
        if fix is None and source is not None and self._is_suspect(source):
            fix = _fix_of_loops(source)
        if fix is None and found.cause == "data_order" and source is not None:
            fix = self._fix_of_order(source)
        if fix is None and of_hashes and hashes(self.files):
            fix = "go through sets in sorted(...) order, or start Python with PYTHONHASHSEED=0"
        variable = found.variable or (tensors[0][1] if tensors else None)
        return replace(
            found,
            evidence=tuple(dict.fromkeys(evidence)),
            ruled_out=tuple(self.ruled_out),
            source=source,
            fix=fix,
            variable=variable,
        )


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


def _narrowed(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one line of a statement over several lines that names a source of chance; else the statement."""
    lines = UsersCode({source["file"]}).lines_of(source["file"], source["line"])
    telling = [(n, text) for n, text in lines if speaks_of_chance(text) == SOURCE]
    if len(lines) < 2 or len(telling) != 1:
        return source
    ((number, text),) = telling
    return {**source, "line": number, "code": text}


def _explaining(differences: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """The differences that would be a cause by themselves: data, first values of weights, hooks."""
    return {
        (d["kind"], d["key"])
        for d in differences
        if d["kind"] in ("fit", "data", "batch", "hook")
        or (d["kind"] == "birth" and not (d.get("mine") or d.get("other") or {})["info"].get("seed"))
    }


def _as_they_come(files: Iterable[str]) -> Mapping[str, Any] | None:
    """The one line that takes the results of work as they come, if there is just one."""
    return the_one_statement(files, r"\b(as_completed|imap_unordered)\(")


def _only_draws(code: str) -> bool:
    """Whether a line makes a generator or draws from one, and names no set and no hash itself."""
    if re.search(r"\b(hash|set|frozenset)\(", code):
        return False
    return makes_generator(code) or speaks_of_chance(code) == DRAW


def _through_a_set(files: Collection[str]) -> Mapping[str, Any] | None:
    """The one line that goes through a set, or takes the hash of something, if there is just one."""
    sets = UsersCode(set(files)).sets()
    return the_one_statement(
        files, lambda text: rewritten(text, is_chance=lambda _: False, sets=sets) not in (None, text)
    )


def _fix_of_loops(source: Mapping[str, Any]) -> str | None:
    """What to change in the head of a loop that a line stands in, where it names a source of chance."""
    for line in UsersCode({source["file"]}).loops_around(source["file"], source["line"]):
        head = statement_text(source["file"], line)
        if speaks_of_chance(head) == SOURCE:
            return fix_of(head)
    return None


def as_source(suspect: Suspect | None) -> Mapping[str, Any] | None:
    return None if suspect is None else suspect.to_dict()


def seeds_set(case: Case, *, second: bool = False) -> Mapping[str, Any] | None:
    """The seeds that were set when the last fit began, None where no fit did; those of the `second` run."""
    trace = case.evidence.second if second else case.evidence.first
    for interval in reversed(trace[: case.number + 1]):
        if interval.hard is not None and interval.hard.info.get("seeds_set"):
            return dict(interval.hard.info["seeds_set"])
    return None
