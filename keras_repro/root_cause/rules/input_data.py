"""The data that was given to fit, or the batch that went into a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_repro.root_cause.evidence import SET_SEED, DiagnosisCase, as_source
from keras_repro.root_cause.explanation import Explanation
from keras_repro.source_code.dataflow import SourceModel
from keras_repro.source_code.fixes import suggest_fix
from keras_repro.source_code.nondeterminism import SOURCE, nondeterminism_level
from keras_repro.source_code.statements import statement_text


def data(case: DiagnosisCase) -> Explanation | None:
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
                source=as_source(root) or next(iter(case.calls()), None),
                evidence=[f"digests of {what}: {left['digest'][:12]} and {right['digest'][:12]}"],
            )
    return _batch(case)


def _batch(case: DiagnosisCase) -> Explanation | None:
    batches = case.soft("batch", here=True)
    if case.kind != "end" or not batches:
        return None
    first = batches[0]
    mine, other = first.get("mine") or {}, first.get("other") or {}
    parts = [
        n for n, digest in (mine.get("value") or {}).items() if (other.get("value") or {}).get(n) != digest
    ]
    # The inputs are the same in the same order: what belongs to them is not.
    order = _order_of_batches(case, mine, other) if "0" in parts or not parts else "other values"
    cause = "data_order" if order == "another order" else "data_values"
    sentence = {
        "another order": "the step was given the same samples in another order",
        "other samples": "the step was given other samples of the same data",
        "other values": "the step was given other values",
    }[order]
    source, evidence = _pipeline(case, order)
    if source is None:
        source = as_source(case.root(*case.calls(), here=True)) or next(iter(case.calls()), None)
    of_fit = {"0": "inputs", "1": "labels", "2": "sample weights"}
    which = {} if case.event["key"].startswith("-1") else of_fit
    evidence.append(
        f"parts of the batch that differ: {', '.join(which.get(p, f'part {p}') for p in parts) or 'all'}"
    )
    return case.said(
        cause, sentence, source=source, evidence=evidence, fix=_fix_of_pipeline(evidence, source)
    )


def _order_of_batches(case: DiagnosisCase, mine: Mapping[str, Any], other: Mapping[str, Any]) -> str:
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
    if fit == "-1" and set(ours) <= set(theirs):
        return "another order"  # how a loop by hand goes on is not known
    if sorted(ours) == sorted(theirs):
        return "another order"
    common = set(ours) & set(theirs)
    if len(set(ours)) < len(ours) or len(set(theirs)) < len(theirs):
        return "other samples" if common else "other values"  # drawn with replacement
    return "other samples" if len(common) > len(set(ours)) // 2 else "other values"


def of_its_own_data(case: DiagnosisCase) -> Explanation | None:
    """A function of a loop by hand that was given a dataset, and drew other batches from it."""
    if not case.evidence.parting.get("draws_data"):
        return None
    stage, risk = riskiest(case, "another order")
    root = case.root(*case.calls(), strict=True) if stage is None else None
    ordered = stage is not None and ("shuffle(" in stage["code"] or "order" in risk)
    source = stage or as_source(root)
    return case.said(
        "data_order" if ordered else "data_values",
        "the step draws from a dataset that does not give the same again",
        source=source,
        evidence=[f"in the pipeline: {risk}"] if risk else [],
        fix=None if source is None else suggest_fix(statement_text(source["file"], source["line"])),
    )


_RISKY = {
    "another order": ("order", "seed", "workers", "thread", "generator", "Python"),
    "other samples": ("random", "seed", "order", "generator", "Python", "thread", "workers"),
    "other values": ("Python", "random", "seed", "workers", "generator", "thread", "order"),
}


def _pipeline(case: DiagnosisCase, order: str) -> tuple[Mapping[str, Any] | None, list[str]]:
    """The line that a batch goes back to: one that differs, else a stage that may not repeat."""
    stage, risk = riskiest(case, order)
    if "not deterministic" in risk and "deterministic" not in (stage or {}).get("code", ""):
        stage = SourceModel(set(case.files)).only_statement(r"deterministic\s*=\s*False") or stage
    said = [f"in the pipeline: {risk}"] if risk else []
    if case.near():
        return as_source(case.root(*case.calls(), here=True)), said
    ordering = any(word in risk for word in ("order", "seed", "workers", "thread"))
    if order == "another order" and ordering:
        return stage, said
    root = case.elsewhere()
    if root is not None and (order != "another order" or nondeterminism_level(root.code) == SOURCE):
        return root.to_dict(), said
    of_model = [(s["file"], s["line"]) for held in case.layers.values() if (s := held.get("source"))]
    for difference in case.soft("birth"):
        info = (difference.get("mine") or {}).get("info", {})
        made = info.get("source")
        # A generator of the model's own layers has no part in what goes into it.
        if info.get("seed") and made is not None and (made["file"], made["line"]) not in of_model:
            return info["source"], [
                f"the seed generator of {info['layer'] or 'the script'} started from another state"
            ]
    root = case.root(*case.calls(), strict=True) or root
    return as_source(root) or stage, said


def riskiest(case: DiagnosisCase, order: str) -> tuple[Mapping[str, Any] | None, str]:
    """The stage of an input pipeline that is likeliest to have done it, and what of it may not repeat."""
    words = _RISKY[order]
    fits = {(s["file"], s["line"]) for s in case.calls()}
    best: Mapping[str, Any] | None = None
    rank, risk = 2 * len(words), ""
    for interval in case.evidence.first:
        for event in interval.soft:
            for one in event.info.get("risks", ()) if event.kind == "made" else ():
                place = next((i for i, word in enumerate(words) if word in one), None)
                source = event.info["source"]
                if place is not None and (source["file"], source["line"]) in fits:
                    place += len(words)  # what Keras makes of the data by itself comes last
                if place is not None and place < rank:
                    best, rank, risk = source, place, f"{event.info['what']} with {one}"
    return best, risk


def _fix_of_pipeline(evidence: Sequence[str], source: Mapping[str, Any] | None) -> str | None:
    code = "" if source is None else statement_text(source["file"], source["line"])
    fixed = suggest_fix(code)
    if fixed is None and any("workers" in e or "thread" in e for e in evidence):
        return "make each sample from (seed, epoch, index) alone, or use workers=1"
    if fixed is None and any("without a seed" in e for e in evidence):
        return "give the operation a seed of its own, such as seed=42"
    if fixed is None and any("no seed" in e for e in evidence):
        return f"{SET_SEED}  # first of all"
    return fixed


def _only_metrics(case: DiagnosisCase) -> bool:
    return {s for s, _ in case.tensors()} <= {"metrics", "results"}
