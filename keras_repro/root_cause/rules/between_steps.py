"""What changed between two steps: a callback, or the script."""

from __future__ import annotations

from keras_repro.root_cause.evidence import NOT_IN_A_THREAD, DiagnosisCase, as_source
from keras_repro.root_cause.explanation import Explanation


def between_steps(case: DiagnosisCase) -> Explanation | None:
    """Weights or optimizer changed outside of a step: a callback, or the script."""
    if case.kind != "begin" and case.record not in ("epoch", "start", "end", "loop"):
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
            source=as_source(root) or info.get("source"),
            evidence=[f"the state was the same before {info['callback']}.{info['hook']} and not behind it"],
        )
    root, thread = case.root(*case.calls(), here=True), case.running_thread()
    if root is None and thread is not None:
        return case.said(
            "configuration",
            f"{what} changed outside of the training, while a thread of the script was running",
            tensor=tensor,
            source=thread,
            fix=NOT_IN_A_THREAD,
        )
    first = case.record == "start" or (case.kind == "begin" and case.place()[2] == 0)
    if section == "optimizer" and first:
        made = case.owners.get("optimizer", {})
        root = case.root(made.get("source"), *case.calls())
        return case.said(
            "configuration",
            "the optimizer was set to other values before the first step",
            tensor=tensor,
            source=as_source(root) or made.get("source"),
            layer={},
        )
    return case.said(
        "configuration",
        f"{what} changed between two steps, outside of the training",
        tensor=tensor,
        source=as_source(root),
    )
