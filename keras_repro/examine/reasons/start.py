"""What differs before the first step: configuration, first values of weights, seed generators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_repro.examine.explanation import Explanation
from keras_repro.examine.fix import fix_of
from keras_repro.examine.reasons.case import SET_SEED, Case, as_source, seeds_set
from keras_repro.examine.suspects import Suspect, root_of, statement_text

_KEYS_OF_SEEDS = ("seed", "seed_generator", "random_seed")


def configuration(case: Case) -> Explanation | None:
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
                source=as_source(root) or layer.get("source"),
                layer=layer,
            )
    return None


def first_values(case: Case) -> Explanation | None:
    """First values of weights that differ, with the event in which they show being about weights."""
    tensors = [n for s, n in case.tensors() if s == "weights"]
    begins = case.record in ("start", "birth") or (case.kind == "begin" and case.place()[2] == 0)
    births = [d for d in case.soft("birth") if d.get("mine") and d.get("other")]
    births = [d for d in births if not d["mine"]["info"].get("seed")]
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
                source=as_source(root),
            )
        return case.said("initial_weights", sentence, tensor=tensors[0], source=as_source(root))
    weights = [d for d in births if d["mine"]["info"].get("layer")]
    first = (weights or births)[0]
    info = first["mine"]["info"]
    owner = dict(case.owner(tensors[0]))
    line = owner.get("source") or info.get("source")
    root = case.root(line)
    seeds = seeds_set(case)
    fix = None
    evidence = [f"the first value of {first['key']} differs, made by {info.get('layer') or 'no layer'}"]
    source: Mapping[str, Any] | None = line
    if seeds is not None and seeds.get("keras") is None:
        fix = f"{SET_SEED}  # before the model is built"
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


def seed_generators(case: Case) -> Explanation | None:
    """A seed generator that was drawn from and began otherwise."""
    seeds = [n for s, n in case.tensors() if s == "seeds"]
    began = [n for n in seeds if n.endswith((" before", " at the start"))]
    if not began and any((d.get("mine") or {}).get("info", {}).get("seed") for d in case.soft("birth")):
        began = seeds
    if not began:
        return None
    name = began[0].removesuffix(" before").removesuffix(" at the start")
    owner = case.owner(name)
    source = owner.get("source")
    root = case.root(source) if source is not None else case.root(*case.calls())
    if root is not None and not _mentions(root, source):
        root = None
    kind = owner.get("class") or "the global seed generator"
    known = seeds_set(case)
    sentence = f"the seed generator of {kind} started from another state"
    fix = fix_of(root.code) if root is not None else None
    if fix is None:
        fix = f"{SET_SEED}  # before the model is built" if not known or known.get("keras") is None else None
    if fix is None and source is not None:
        fix = f"{kind}(..., seed=42)"
    return case.said(
        "random_state",
        sentence,
        tensor=name,
        source=as_source(root) or source,
        fix=fix,
        layer=owner,
    )


def _leads(case: Case, suspect: Suspect, line: Mapping[str, Any] | None) -> bool:
    """Whether a suspect is known to lead to a line, and is not only the best of the rest."""
    if line is None:
        return True
    found = root_of([s for s in case.suspects if s is not suspect] + [suspect], [line], files=case.files)
    return found is not None and suspect.interval <= case.number


def _mentions(suspect: Suspect, source: Mapping[str, Any] | None) -> bool:
    """Whether a suspect's names stand in the text of a line."""
    if source is None:
        return True
    text = statement_text(source["file"], source["line"])
    return (suspect.file, suspect.line) == (source["file"], source["line"]) or any(
        name.split(".")[-1] in text for name in suspect.names
    )


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
