"""Runs that took different paths, and results outside the training that differ."""

from __future__ import annotations

from keras_repro.root_cause.diagnosis_case import DiagnosisCase
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.rules.clock import BY_STEPS, line_that_ends_by_clock
from keras_repro.source_code.fixes import suggest_fix
from keras_repro.storage.divergence_report import LayerDescription
from keras_repro.storage.trace_file import CheckedEvent, RecordEvent, VariableEvent, WeightsEvent


def structure(case: DiagnosisCase) -> Explanation | None:
    """Explain runs that took different paths."""
    reference = case.report.reference
    if case.is_same_event():
        return None
    other = "its end" if reference is None else _in_words(reference)
    source = line_that_ends_by_clock(case.evidence.second)
    paths = f"one run came to {_in_words(case.event)}, and the other came to {other}"
    if source is not None:
        paths = f"the clock ended the training: {paths}"
    return case.explanation(
        "configuration",
        paths,
        source=source or case.root_line(*case.method_calls(), nearby=True),
        fix=None if source is None else BY_STEPS,
        subject="the number of steps",
    )


def results(case: DiagnosisCase) -> Explanation | None:
    """Explain results outside the training, metrics alone, or the end of a custom training loop."""
    if not isinstance(case.event, RecordEvent):
        return None
    root = case.root_line(*case.method_calls(), nearby=True)
    is_result = case.record_kind in ("evaluation", "prediction")
    if is_result and case.context(WeightsEvent, nearby=True):
        return case.explanation(
            "configuration",
            f"weights were changed outside of the training, before the {case.record_kind}",
            source=root,
        )
    variables = [d.event for d in case.context(VariableEvent) if d.event and d.reference]
    seed = next((v for v in variables if v.is_seed), None)
    if is_result and seed is not None:
        root = case.root_line(seed.source, strict=True)
        return case.explanation(
            "random_state",
            f"the {case.record_kind} draws from a seed generator with a different initial state",
            tensor=seed.name,
            source=root or seed.source,
            layer=LayerDescription(layer_class=seed.layer),
            fix=None if root is None else suggest_fix(root.code),
        )
    if is_result or {s for s, _ in case.differing_tensors()} <= {"metrics"}:
        return case.explanation(
            "operation" if root is None else "data_values",
            f"all fits were identical, and the {case.record_kind} differs",
            source=root,
        )
    return None


def _in_words(event: CheckedEvent) -> str:
    """Return an event in words, counted from 1: `"step 3 of epoch 1 of fit 2"`, `"the end of epoch 4"`."""
    if not isinstance(event, RecordEvent):
        position = event.position
        around = f"epoch {position.epoch + 1} of fit {position.fit + 1}" if position.in_fit else "a loop"
        return f"step {position.step + 1} of {around}"
    name, *rest = event.position.split()
    numbers = [int(n) + 1 for n in rest if n.isdecimal()]
    if name in ("epoch", "birth") and len(numbers) == 2:  # new variables are recorded with the epoch
        return f"the end of epoch {numbers[1]} of fit {numbers[0]}"
    if name in ("start", "end") and numbers:
        return f"the {name} of fit {numbers[0]}"
    if name == "exit":
        return "the end of the script"
    return " ".join([name, *map(str, numbers)])
