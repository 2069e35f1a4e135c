"""From the evidence of diagnosing processes to the cause: where agreeing inputs gave other outputs first.

Each rule looks at what can have come first, and passes on where it does not fit: configuration, first values,
seed generators, data, what callbacks set, and last the step itself, which was replayed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_repro.examine.explanation import Explanation
from keras_repro.examine.fix import fix_of
from keras_repro.examine.suspects import Suspect, root_of, statement_text, suspects_of
from keras_repro.record.trace import Interval

_SEED = "keras.utils.set_random_seed(42)"
_KEYS_OF_SEEDS = ("seed", "seed_generator", "random_seed")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the processes of a diagnosis have left.

    Attributes:
        first: the trace of the first one, interval by interval.
        parting: what the second one wrote where it parted from the first.
        second_try: what a further one wrote, which had the hash seed of the first; None where there is none.
        taps: the values that flowed through the replayed step, by process: `{number: array}`.
        hash_seeds_differ: whether the first two processes had other hash seeds.
    """

    first: Sequence[Interval]
    parting: Mapping[str, Any]
    second_try: Mapping[str, Any] | None = None
    taps: Sequence[Mapping[int, Any]] = ()
    hash_seeds_differ: bool = False
    folder: Path = field(default_factory=Path)


def explain(evidence: Evidence) -> Explanation:
    """Finds the cause; `unknown`, with what was ruled out, where no rule fits."""
    case = _Case(evidence)
    for rule in _RULES:
        found = rule(case)
        if found is not None:
            return case.finished(found)
    return case.finished(case.said("unknown", "what made them differ was not found"))


class _Case:
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
        self.same_with_hash_seed = (
            evidence.hash_seeds_differ
            and again is not None
            and not again.get("parted", True)
            and again.get("number") == self.number
        )
        cleared = ()
        if self.same_with_hash_seed and again is not None:
            cleared = tuple(d["key"] for d in again.get("differences", ()) if d["kind"] == "line")
        self.suspects: list[Suspect] = suspects_of(self.differences, cleared=cleared)
        self.kind: str = self.event["kind"]
        self.record: str = self.event.get("info", {}).get("kind", "") if self.kind == "record" else ""
        self.ruled_out: list[str] = []

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

    def root(self, *sinks: Mapping[str, Any] | None, here: bool = False) -> Suspect | None:
        """The line that what went wrong goes back to; `here` looks in the last interval first."""
        if here:
            near = [s for s in self.suspects if s.interval == self.number]
            if near:
                found = root_of(self.suspects, [s.to_dict() for s in near], interval=self.number)
                return found or near[0]
        return root_of(self.suspects, sinks)

    def finished(self, found: Explanation) -> Explanation:
        """The explanation with what holds for all of them: tensors, hash seed, and what was ruled out."""
        evidence = list(found.evidence)
        tensors = self.tensors()
        if tensors:
            shown = ", ".join(n for _, n in tensors[:3]) + (", ..." if len(tensors) > 3 else "")
            evidence.insert(0, f"{len(tensors)} tensors differ there: {shown}")
        if self.same_with_hash_seed:
            evidence.append("with the hash seed of the first run it did the same as the first")
        source = found.source
        if source is not None:
            source = {
                "file": source["file"],
                "line": source["line"],
                "code": statement_text(source["file"], source["line"]) or source.get("code", ""),
            }
        fix = found.fix
        if fix is None and source is not None:
            fix = fix_of(str(source["code"]))
        if fix is None and self.same_with_hash_seed:
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


def _as_source(suspect: Suspect | None) -> Mapping[str, Any] | None:
    return None if suspect is None else suspect.to_dict()


def _configuration(case: _Case) -> Explanation | None:
    """Other layers, other settings of the optimizer or of fit, another structure."""
    for difference in case.soft("fit"):
        if difference["interval"] < case.number - 10_000:
            continue
        mine, other = ((difference.get(n) or {}).get("value") or {} for n in ("mine", "other"))
        for part in ("configuration", "arguments"):
            left, right = _without_counts(mine.get(part)), _without_counts(other.get(part))
            if left == right:
                continue
            path, values = _first_difference(left, right, part)
            if path.split()[-1] in _KEYS_OF_SEEDS:
                continue  # a seed shows in what is drawn from it
            if part == "arguments" and _data_differs(mine, other):
                continue
            root = case.root(*case.calls())
            layer = _layer_at(path, case.owners)
            return case.said(
                "configuration",
                f"{path} is {values[0]} in one run and {values[1]} in the other",
                source=_as_source(root) or layer.get("source"),
                layer=layer,
            )
    return None


def _births(case: _Case) -> Explanation | None:
    """First values of weights that differ, with the event in which they show being about weights."""
    tensors = [n for s, n in case.tensors() if s == "weights"]
    begins = case.record in ("start", "birth") or (case.kind == "begin" and case.place()[2] == 0)
    births = [d for d in case.soft("birth") if d.get("mine") and d.get("other")]
    in_step = [d for d in births if d["interval"] == case.number]
    if not tensors or not (begins or in_step or case.record == "exit"):
        return None
    if case.kind == "end" and not in_step:
        return None
    earlier_fit = (case.place()[0] or 0) > 0
    if not births:
        if case.record == "exit" or case.kind == "begin":
            return None
        root = case.root(*case.calls())
        sentence = (
            "the weights were made with the same values, and changed before training in one of the runs"
        )
        if earlier_fit:
            return case.said(
                "configuration",
                "weights were changed between two fits",
                tensor=tensors[0],
                source=_as_source(root),
            )
        return case.said("initial_weights", sentence, tensor=tensors[0], source=_as_source(root))
    weights = [d for d in births if d["mine"]["info"].get("layer")]
    first = (weights or births)[0]
    info = first["mine"]["info"]
    owner = dict(case.owner(tensors[0]))
    line = owner.get("source") or info.get("source")
    root = case.root(line)
    seeds = _seeds_set(case)
    fix = None
    evidence = [f"the first value of {first['key']} differs, made by {info.get('layer') or 'no layer'}"]
    source: Mapping[str, Any] | None = line
    if seeds is not None and seeds.get("keras") is None:
        fix = f"{_SEED}  # before the model is built"
        known = seeds.get("tensorflow") is not None
        sentence = (
            "seeds were set with tf.random.set_seed, from which Keras 3's initializers do not draw"
            if known
            else "no seed was set with Keras, so initializers draw from what the process started with"
        )
    else:
        sentence = "weights were made from values that differ"
    if root is not None and (seeds is None or seeds.get("keras") is not None or root.interval <= case.number):
        reached = case.root(line)
        if reached is not None and _leads(case, reached, line):
            source, fix = reached.to_dict(), fix_of(reached.code) or fix
    return case.said(
        "initial_weights", sentence, tensor=tensors[0], source=source, fix=fix, evidence=evidence
    )


def _leads(case: _Case, suspect: Suspect, line: Mapping[str, Any] | None) -> bool:
    """Whether a suspect is known to lead to a line, and is not only the best of the rest."""
    if line is None:
        return True
    found = root_of([s for s in case.suspects if s is not suspect] + [suspect], [line])
    return found is not None and suspect.interval <= case.number


def _seed_generators(case: _Case) -> Explanation | None:
    """A seed generator that was drawn from and began otherwise."""
    seeds = [n for s, n in case.tensors() if s == "seeds"]
    began = [n for n in seeds if n.endswith((" before", " at the start"))]
    if not began:
        return None
    name = began[0].removesuffix(" before").removesuffix(" at the start")
    owner = case.owner(name)
    source = owner.get("source")
    root = case.root(source) if source is not None else case.root(*case.calls())
    if root is not None and not _mentions(root, source):
        root = None
    kind = owner.get("class") or "the global seed generator"
    seeds_set = _seeds_set(case)
    sentence = f"the seed generator of {kind} started from another state"
    fix = fix_of(root.code) if root is not None else None
    if fix is None:
        fix = (
            f"{_SEED}  # before the model is built"
            if not seeds_set or seeds_set.get("keras") is None
            else None
        )
    if fix is None and source is not None:
        fix = f"{kind}(..., seed=42)"
    return case.said(
        "random_state",
        sentence,
        tensor=name,
        source=_as_source(root) or source,
        fix=fix,
        layer=owner,
    )


def _data(case: _Case) -> Explanation | None:
    """The data that was given to fit, or the batch that went into the step."""
    for difference in (*case.soft("fit"), *case.soft("data")):
        mine, other = ((difference.get(n) or {}).get("value") or {} for n in ("mine", "other"))
        names = ("data", "validation_data") if difference["kind"] == "fit" else ("",)
        for name in names:
            left, right = (v.get(name) or {} if name else v for v in (mine, other))
            if left.get("digest") == right.get("digest") or not left.get("digest"):
                continue
            if name == "validation_data" and not _only_metrics(case):
                continue
            if difference["kind"] == "data" and case.record not in ("evaluation", "prediction"):
                continue
            same_rows = left.get("rows") and left.get("rows") == right.get("rows")
            what = {"data": "the data given to fit", "validation_data": "the validation data"}.get(
                name, f"the data given to {case.record}"
            )
            root = case.root(*case.calls())
            return case.said(
                "data_order" if same_rows else "data_values",
                f"{what} {'holds the same samples in another order' if same_rows else 'has other values'}",
                source=_as_source(root) or next(iter(case.calls()), None),
                evidence=[f"digests of {what}: {left['digest'][:12]} and {right['digest'][:12]}"],
            )
    return _batch(case)


def _batch(case: _Case) -> Explanation | None:
    batches = case.soft("batch", here=True)
    if case.kind != "end" or not batches:
        return None
    first = batches[0]
    mine, other = first.get("mine") or {}, first.get("other") or {}
    parts = [
        n for n, digest in (mine.get("value") or {}).items() if (other.get("value") or {}).get(n) != digest
    ]
    order = _order_of_batches(case, mine, other)
    cause = "data_values" if order == "other values" else "data_order"
    sentence = {
        "another order": "the step was given the same samples in another order",
        "other samples": "the step was given other samples of the same data",
        "other values": "the step was given other values",
    }[order]
    source, evidence = _pipeline(case, order)
    if source is None:
        root = case.root(*case.calls(), here=True) or case.root(*case.calls())
        source = _as_source(root) or next(iter(case.calls()), None)
    which = {"0": "inputs", "1": "labels"}
    evidence.append(
        f"parts of the batch that differ: {', '.join(which.get(p, f'part {p}') for p in parts) or 'all'}"
    )
    return case.said(
        cause, sentence, source=source, evidence=evidence, fix=_fix_of_pipeline(evidence, source)
    )


def _order_of_batches(case: _Case, mine: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    fit, epoch, _ = case.event["key"].split()
    theirs: list[str] = []
    ours: list[str] = []
    for interval in case.evidence.first:
        for event in interval.soft:
            if event.kind == "batch" and event.key.split()[:2] == [fit, epoch]:
                theirs += event.info.get("rows", ())
    here = case.event["key"]
    seen = 0
    for interval in case.evidence.first[: case.number]:
        for event in interval.soft:
            if event.kind == "batch" and event.key.split()[:2] == [fit, epoch] and event.key != here:
                seen += len(event.info.get("rows", ()))
                ours += event.info.get("rows", ())
    ours += (mine.get("info") or {}).get("rows", ())
    for rows in case.evidence.parting.get("rest", ()):
        ours += rows
    if not ours or not theirs:
        return "other values"
    if sorted(ours) == sorted(theirs):
        return "another order"
    common = set(ours) & set(theirs)
    if len(set(ours)) < len(ours) or len(set(theirs)) < len(theirs):
        return "other samples" if common else "other values"  # drawn with replacement
    return "other samples" if len(common) > len(set(ours)) // 2 else "other values"


_RISKY = {
    "another order": ("order", "seed", "workers", "thread", "generator", "Python"),
    "other samples": ("random", "seed", "order", "generator", "Python", "thread", "workers"),
    "other values": ("Python", "random", "seed", "workers", "generator", "thread", "order"),
}


def _pipeline(case: _Case, order: str) -> tuple[Mapping[str, Any] | None, list[str]]:
    """The stage of an input pipeline that may not repeat, if there is one; lines that differ come first."""
    near = [s for s in case.suspects if s.interval == case.number]
    stages = [e for i in case.evidence.first for e in i.soft if e.kind == "made" and e.info.get("risks")]
    best: Mapping[str, Any] | None = None
    rank = len(_RISKY[order])
    risk = ""
    for event in stages:
        for one in event.info["risks"]:
            for place, word in enumerate(_RISKY[order]):
                if word in one and place < rank:
                    best, rank, risk = event.info["source"], place, f"{event.info['what']} with {one}"
    if near or best is None:
        root = case.root(*case.calls(), here=bool(near))
        if root is not None:
            return root.to_dict(), [f"in the pipeline: {risk}"] if risk else []
    return best, [f"in the pipeline: {risk}"] if risk else []


def _fix_of_pipeline(evidence: Sequence[str], source: Mapping[str, Any] | None) -> str | None:
    code = "" if source is None else statement_text(source["file"], source["line"])
    fixed = fix_of(code)
    if fixed is None and any("workers" in e or "thread" in e for e in evidence):
        return "make each sample from (seed, epoch, index) alone, or use workers=1"
    if fixed is None and any("no seed" in e for e in evidence):
        return f"{_SEED}  # first of all"
    return fixed


def _between_steps(case: _Case) -> Explanation | None:
    """Weights or optimizer changed outside of a step: a callback, or the script."""
    if case.kind != "begin" and case.record not in ("epoch", "start", "end"):
        return None
    tensors = case.tensors()
    state = [(s, n) for s, n in tensors if s in ("weights", "optimizer")]
    if not state:
        return None
    hooks = case.soft("hook", here=True)
    section, tensor = state[0]
    what = "the optimizer" if section == "optimizer" else "weights"
    if hooks:
        info = (hooks[0].get("mine") or hooks[0].get("other") or {}).get("info", {})
        root = case.root(info.get("source"), here=True)
        return case.said(
            "configuration",
            f"{info['callback']}.{info['hook']} set {what} to other values",
            tensor=tensor,
            source=_as_source(root) or info.get("source"),
            evidence=[f"the state was the same before {info['callback']}.{info['hook']} and not behind it"],
        )
    root = case.root(*case.calls(), here=True)
    if section == "optimizer" and case.place()[2] in (None, 0):
        made = case.owners.get("optimizer", {})
        root = case.root(made.get("source"), *case.calls())
        return case.said(
            "configuration",
            "the optimizer was set to other values before the first step",
            tensor=tensor,
            source=_as_source(root) or made.get("source"),
            layer={},
        )
    return case.said(
        "configuration",
        f"{what} changed between two steps, outside of the training",
        tensor=tensor,
        source=_as_source(root),
    )


def _step(case: _Case) -> Explanation | None:
    """The step itself: the same state and the same batch, and another result."""
    if case.kind != "end":
        return None
    case.ruled_out += ["the state before the step was the same", "the batch was the same"]
    replay = case.replay
    tensors = case.tensors()
    tensor = tensors[0][1] if tensors else None
    if not replay:
        root = case.root(*case.calls(), here=True)
        return case.said(
            "operation",
            "the same step on the same batch gave another result; it could not be replayed",
            tensor=tensor,
            source=_as_source(root),
        )
    tapped = replay.get("tapped", {})
    operations = list(tapped.get("operations", ()))
    if not replay["agrees"]:
        return _unsteady(case, tapped, operations, tensor)
    if not replay["agrees_drawing_on"]:
        return _unsteady(
            case, tapped, operations, tensor, why="it draws from the process's own random generators"
        )
    return _steady(case, tapped, operations, tensor)


def _unsteady(
    case: _Case,
    tapped: Mapping[str, Any],
    operations: Sequence[Mapping[str, Any]],
    tensor: str | None,
    why: str = "",
) -> Explanation:
    """Repetitions of the step differ among themselves: it is an operation in it."""
    tap = _first_tap(tapped, lambda d: d[0] != d[1])
    chosen = _operation_for(tap, operations)
    layer = _layer_of(case, tap, chosen)
    source = (chosen or {}).get("source")
    near = case.root(here=True) if any(s.interval == case.number for s in case.suspects) else None
    host = chosen is not None and "PyFunc" in chosen["type"]
    if near is not None and (host or source is None):
        source = near.to_dict()
    if source is None and layer.get("source") is not None:
        source = layer["source"]
    evidence = [f"replayed {3} times from the same state with the same batch, its results differ"]
    if tap is not None:
        evidence.append(_tap_in_words(tap))
    if chosen is not None:
        evidence.append(f"in its graph: {chosen['type']}")
    if host:
        sentence = "Python code that the graph calls gives other values"
    elif chosen is not None:
        sentence = f"{chosen['type']} draws from a counter of its own that no seed holds"
    else:
        sentence = "an operation does not repeat itself"
    return case.said(
        "operation",
        sentence + (f": {why}" if why else ""),
        tensor=tensor,
        source=source,
        layer=layer,
        operation=None if chosen is None else chosen["type"],
        evidence=evidence,
    )


def _steady(
    case: _Case,
    tapped: Mapping[str, Any],
    operations: Sequence[Mapping[str, Any]],
    tensor: str | None,
) -> Explanation:
    """The step repeats itself in one process, and is another one in the other: something that it has kept."""
    case.ruled_out.append("replayed in one process, the step repeats itself")
    anew = _first_tap(tapped, lambda d: d[0] != d[2])
    across = _first_across(case)
    evidence = []
    if anew is not None:
        layer = _layer_of(case, anew, None)
        evidence += ["traced anew in the same process it computes something else", _tap_in_words(anew)]
        root = case.root(*([anew["source"]] if anew.get("source") else []), here=True)
        return case.said(
            "operation",
            "a value is drawn in Python while the step is traced, and stays in its graph as a constant",
            tensor=tensor,
            source=_as_source(root) or layer.get("source"),
            layer=layer,
            evidence=evidence,
        )
    if across is not None:
        tap, far = across
        layer = _layer_of(case, tap, _operation_for(tap, operations))
        evidence += [_tap_in_words(tap), far]
        root = case.root(layer.get("source"), *case.calls())
        here = [s for s in case.suspects if s.interval == case.number]
        if operations and not here and root is None:
            chosen = _operation_for(tap, operations)
            return case.said(
                "operation",
                f"{chosen['type']} gives other values in each process" if chosen else "an operation differs",
                tensor=tensor,
                source=(chosen or {}).get("source"),
                layer=layer,
                operation=(chosen or {}).get("type"),
                evidence=evidence,
            )
        if here:
            near = case.root(here=True)
            return case.said(
                "operation",
                "the step computes with a value that Python gave while it ran or was traced",
                tensor=tensor,
                source=_as_source(near),
                layer=layer,
                evidence=evidence,
            )
        return case.said(
            "configuration",
            "the step computes with a value that is another one in each process and is no part of the state",
            tensor=tensor,
            source=_as_source(root) or layer.get("source"),
            layer=layer,
            evidence=evidence,
        )
    root = case.root(*case.calls(), here=True)
    chosen = operations[0] if operations else None
    if root is not None or chosen is not None:
        return case.said(
            "operation",
            "the same step on the same batch gave another result in the other process",
            tensor=tensor,
            source=_as_source(root) or (chosen or {}).get("source"),
            operation=None if chosen is None else chosen["type"],
            layer=_layer_of(case, None, chosen),
        )
    return case.said(
        "unknown",
        "the same step on the same batch gave another result once; replayed, it gave the recorded one",
        tensor=tensor,
    )


def _results(case: _Case) -> Explanation | None:
    """Results computed outside of fit, metrics alone, or what a loop by hand did."""
    sections = {s for s, _ in case.tensors()}
    if case.kind != "record":
        return None
    root = case.root(*case.calls(), here=True)
    if case.other is None or case.other.get("key") != case.event["key"]:
        return case.said(
            "configuration",
            f"one run did {case.event['key']} where the other did {(case.other or {}).get('key', 'no more')}",
            source=_as_source(root),
        )
    if case.record in ("evaluation", "prediction") or sections <= {"metrics"}:
        return case.said(
            "operation" if root is None else "data_values",
            f"the model is the same, and the {case.record or 'result'} differs",
            source=_as_source(root),
        )
    return None


def _structure(case: _Case) -> Explanation | None:
    """One run took another way than the other."""
    if case.other is not None and (case.other["kind"], case.other["key"]) == (case.kind, case.event["key"]):
        return None
    root = case.root(*case.calls())
    other = "no more" if case.other is None else f"{case.other['kind']} {case.other['key']}"
    return case.said(
        "configuration",
        f"one run came to {case.kind} {case.event['key']} where the other came to {other}",
        source=_as_source(root),
    )


_RULES: tuple[Callable[[_Case], Explanation | None], ...] = (
    _configuration,
    _births,
    _seed_generators,
    _data,
    _structure,
    _between_steps,
    _step,
    _results,
)


def _first_tap(
    tapped: Mapping[str, Any], differs: Callable[[Sequence[str | None]], bool]
) -> Mapping[str, Any] | None:
    return next((t for t in tapped.get("taps", ()) if differs(t["digests"])), None)


def _first_across(case: _Case) -> tuple[Mapping[str, Any], str] | None:
    """The first tap whose value differs between two processes, and how far."""
    if len(case.evidence.taps) < 2:
        return None
    from keras_repro.examine.distance import distance

    mine, other = case.evidence.taps[:2]
    for index, tap in enumerate(case.replay.get("tapped", {}).get("taps", ())):
        if index in mine and index in other:
            gap = distance(mine[index], other[index])
            if gap["elements"]:
                far = f"{gap['elements']} of {gap['of']} values differ"
                if gap["ulps"] is not None:
                    far += f", by {gap['largest']:.2g} at most ({gap['ulps']} ULPs)"
                return tap, far
    return None


def _operation_for(
    tap: Mapping[str, Any] | None, operations: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The operation that fits the first tap that differs: in its layer, else the first of all."""
    if tap is not None and tap["kind"] == "output":
        inside = [
            o for o in operations if o["layer"] == tap["name"] or o["layer"].startswith(tap["name"] + "/")
        ]
        if inside:
            return inside[0]
    outside = [o for o in operations if not o["layer"]]
    return next(iter([*outside, *operations]), None)


def _layer_of(
    case: _Case, tap: Mapping[str, Any] | None, operation: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """The layer that a tap or an operation is of, with the line that made it."""
    name, kind = "", ""
    if operation is not None and operation.get("layer"):
        name, kind = operation["layer"], operation["class"]
    elif tap is not None and tap["kind"] == "output":
        name, kind = tap["name"], tap["layer"]
    if not name:
        return {}
    known: Mapping[str, Any] = next((o for o in case.owners.values() if o["layer"] == name), {})
    return {"layer": name, "class": kind, "source": known.get("source")}


def _tap_in_words(tap: Mapping[str, Any]) -> str:
    what = {
        "input": f"what goes into {tap['name']}",
        "output": f"the output of {tap['name']} ({tap['layer']})",
        "loss": "the loss",
        "gradient": f"the gradient of {tap['name']}",
    }[tap["kind"]]
    text = f"first to differ inside the step: {what}"
    gap = tap.get("distance")
    if gap and gap.get("ulps") is not None:
        text += (
            f"; {gap['elements']} of {gap['of']} values, by {gap['largest']:.2g} at most ({gap['ulps']} ULPs)"
        )
    return text


def _seeds_set(case: _Case) -> Mapping[str, Any] | None:
    """The seeds that were set when the last fit began, None where no fit did."""
    for interval in reversed(case.evidence.first[: case.number + 1]):
        if interval.hard is not None and interval.hard.info.get("seeds_set"):
            return dict(interval.hard.info["seeds_set"])
    return None


def _mentions(suspect: Suspect, source: Mapping[str, Any] | None) -> bool:
    """Whether a suspect's names stand in the text of a line."""
    if source is None:
        return True
    text = statement_text(source["file"], source["line"])
    return (suspect.file, suspect.line) == (source["file"], source["line"]) or any(
        name.split(".")[-1] in text for name in suspect.names
    )


def _only_metrics(case: _Case) -> bool:
    return {s for s, _ in case.tensors()} <= {"metrics", "results"}


def _data_differs(mine: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    left, right = (v.get("data") or {} for v in (mine, other))
    return bool(left.get("digest")) and left.get("digest") != right.get("digest")


def _without_counts(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {k: v for k, v in value.items() if k not in ("steps", "steps_requested")}


def _first_difference(a: Any, b: Any, path: str) -> tuple[str, tuple[str, str]]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in dict.fromkeys([*a, *b]):
            if a.get(key) != b.get(key):
                return _first_difference(a.get(key), b.get(key), f"{path} {key}")
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (left, right) in enumerate(zip(a, b, strict=True)):
            if left != right:
                return _first_difference(left, right, f"{path} {index}")
    return path, (f"{a!r:.60}", f"{b!r:.60}")


def _layer_at(path: str, owners: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}
