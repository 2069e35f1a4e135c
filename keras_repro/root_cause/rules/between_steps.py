"""Changes between two steps, by a callback or by the script, and draws from generators there."""

from __future__ import annotations

from keras_repro.root_cause.diagnosis_case import NOT_IN_A_THREAD, DiagnosisCase
from keras_repro.root_cause.explanation import Explanation
from keras_repro.storage.divergence_report import LayerDescription
from keras_repro.storage.trace_file import HookEvent, StepBeginEvent, StepEndEvent


def between_steps(case: DiagnosisCase) -> Explanation | None:
    """Explain weights or an optimizer that changed outside a step."""
    if not isinstance(case.event, StepBeginEvent) and case.record_kind not in (
        "epoch", "start", "end", "loop",
    ):  # fmt: skip
        return None
    state = [(s, n) for s, n in case.differing_tensors() if s in ("weights", "optimizer")]
    if not state:
        return None
    section, tensor = state[0]
    what = "the optimizer" if section == "optimizer" else "weights"
    hooks = case.context(HookEvent, nearby=True)
    if hooks:
        event = hooks[0].either
        hook = f"{event.callback}.{event.hook}"
        root = case.root_line(event.source, nearby=True)
        return case.explanation(
            "configuration",
            f"{hook} set {what} to other values",
            tensor=tensor,
            source=root or event.source,
            evidence=[f"the state was the same before {hook}, and different after it"],
        )
    root, thread = case.root_line(*case.method_calls(), nearby=True), case.running_thread()
    if root is None and thread is not None:
        return case.explanation(
            "configuration",
            f"{what} changed outside of the training, while a thread of the script was running",
            tensor=tensor,
            source=thread,
            fix=NOT_IN_A_THREAD,
        )
    if section == "optimizer" and (case.record_kind == "start" or case.is_first_step()):
        constructed = case.state.owners.get("optimizer", LayerDescription()).source
        root = case.root_line(constructed, *case.method_calls())
        return case.explanation(
            "configuration",
            "the optimizer was set to other values before the first step",
            tensor=tensor,
            source=root or constructed,
            layer=LayerDescription(),
        )
    return case.explanation(
        "configuration",
        f"{what} changed between two steps, outside of the training",
        tensor=tensor,
        source=root,
    )


def draws(case: DiagnosisCase) -> Explanation | None:
    """Explain a seed generator that was used a different number of times, while all else was the same."""
    differing = case.differing_tensors()
    if isinstance(case.event, StepEndEvent) or {section for section, _ in differing} != {"seeds"}:
        return None
    _, tensor = differing[0]
    owner = case.owner(tensor) or LayerDescription(layer_class="the global seed generator")
    name = f"the seed generator of {owner.layer_class}" if owner.name else owner.layer_class
    return case.explanation(
        "random_state",
        f"{name} was used a different number of times",
        tensor=tensor,
        source=case.root_line(*case.method_calls(), nearby=True),
        layer=owner if owner.name else LayerDescription(),
    )
