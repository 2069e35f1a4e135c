"""One run took another way, or results outside of the training differ."""

from __future__ import annotations

from keras_repro.examine.explanation import Explanation
from keras_repro.examine.reasons.case import Case, as_source


def structure(case: Case) -> Explanation | None:
    """One run took another way than the other."""
    if case.other is not None and (case.other["kind"], case.other["key"]) == (case.kind, case.event["key"]):
        return None
    root = case.root(*case.calls(), here=True)
    other = "no more" if case.other is None else f"{case.other['kind']} {case.other['key']}"
    return case.said(
        "configuration",
        f"one run came to {case.kind} {case.event['key']} where the other came to {other}",
        source=as_source(root),
    )


def results(case: Case) -> Explanation | None:
    """Results computed outside of fit, metrics alone, or what a loop by hand did."""
    sections = {s for s, _ in case.tensors()}
    if case.kind != "record":
        return None
    root = case.root(*case.calls(), here=True)
    if case.other is None or case.other.get("key") != case.event["key"]:
        return case.said(
            "configuration",
            f"one run did {case.event['key']} where the other did {(case.other or {}).get('key', 'no more')}",
            source=as_source(root),
        )
    if case.record in ("evaluation", "prediction") or sections <= {"metrics"}:
        return case.said(
            "operation" if root is None else "data_values",
            f"the model is the same, and the {case.record or 'result'} differs",
            source=as_source(root),
        )
    return None
