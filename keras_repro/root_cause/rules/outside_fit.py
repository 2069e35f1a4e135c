"""One run took another way, or results outside of the training differ."""

from __future__ import annotations

from keras_repro.root_cause.evidence import DiagnosisCase, as_source
from keras_repro.root_cause.explanation import Explanation
from keras_repro.source_code.fixes import suggest_fix


def structure(case: DiagnosisCase) -> Explanation | None:
    """One run took another way than the other."""
    if case.other is not None and (case.other["kind"], case.other["key"]) == (case.kind, case.event["key"]):
        return None
    root = case.root(*case.calls(), here=True)
    other = "its end" if case.other is None else _in_words(case.other["kind"], case.other["key"])
    return case.said(
        "configuration",
        f"one run came to {_in_words(case.kind, case.event['key'])} where the other came to {other}",
        source=as_source(root),
    )


def results(case: DiagnosisCase) -> Explanation | None:
    """Results computed outside of fit, metrics alone, or what a loop by hand did."""
    sections = {s for s, _ in case.tensors()}
    if case.kind != "record":
        return None
    root = case.root(*case.calls(), here=True)
    if case.other is None or case.other.get("key") != case.event["key"]:
        return case.said(
            "configuration",
            f"one run came to {_in_words('record', case.event['key'])} where the other did not",
            source=as_source(root),
        )
    outside = case.record in ("evaluation", "prediction")
    if outside and case.soft("weights", here=True):
        return case.said(
            "configuration",
            f"weights were changed outside of the training, before the {case.record}",
            source=as_source(root),
        )
    both = [d["mine"]["info"] | {"name": d["key"]} for d in case.soft("birth") if d["mine"] and d["other"]]
    drawn = [info for info in both if info.get("seed")]
    if outside and drawn:
        info = drawn[0]
        root = case.root(info.get("source"), strict=True)
        return case.said(
            "random_state",
            f"the {case.record} draws from a seed generator that started from another state",
            tensor=info["name"],
            source=as_source(root) or info.get("source"),
            layer={"class": info.get("layer")},
            fix=None if root is None else suggest_fix(root.code),
        )
    if outside or sections <= {"metrics"}:
        return case.said(
            "operation" if root is None else "data_values",
            f"no fit had parted by then, and the {case.record or 'result'} differs",
            source=as_source(root),
        )
    return None


def _in_words(kind: str, key: str) -> str:
    """A hard event for people, counted from 1: `"step 3 of epoch 1 of fit 2"`, `"the end of epoch 4"`."""
    name, *rest = key.split()
    if kind in ("begin", "end"):
        fit, epoch, step = (int(n) for n in (name, *rest))
        return f"step {step + 1} of " + ("a loop" if fit < 0 else f"epoch {epoch + 1} of fit {fit + 1}")
    numbers = [int(n) + 1 for n in rest if n.isdecimal()]
    if name == "epoch" and len(numbers) == 2:
        return f"the end of epoch {numbers[1]} of fit {numbers[0]}"
    if name in ("start", "end") and numbers:
        return f"the {name} of fit {numbers[0]}"
    if name == "exit":
        return "the end of the script"
    return " ".join([name, *map(str, numbers)])
