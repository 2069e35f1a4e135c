"""Layers that were adapted to data, which may have been another part of it in each run."""

from __future__ import annotations

import re

from keras_repro.root_cause.diagnosis_case import DiagnosisCase
from keras_repro.storage.trace_file import ConstructionEvent
from keras_repro.utils.source_line import SourceLine

_RECEIVER = re.compile(r"([\w.]+)\.adapt\(")
# Words in the risks of a stage that may choose or order its elements in another way.
_RISKS = ("order", "seed", "random", "thread")


def line_of_adapted_data(
    case: DiagnosisCase, *, layer_class: str | None = None, user: SourceLine | None = None
) -> SourceLine | None:
    """Return the line that chose the data to which a layer was adapted; None if no layer was.

    Args:
        case: the case.
        layer_class: class of the layer.
        user: a line that uses the layer, if its class is not given.
    """
    events = [
        event
        for interval in case.evidence.first
        for event in interval.context
        if isinstance(event, ConstructionEvent)
    ]
    used = set() if user is None else case.code.closure(case.code.read_by(user.file, user.line))
    calls = [
        event.source
        for event in events
        if event.what.startswith("adapt ")
        and (event.what == f"adapt {layer_class}" or _receiver(case, event.source) in used)
    ]
    if not calls:
        return None
    call = calls[-1]
    root = case.root_line(call, strict=True)
    if root is not None and case.is_source(root):
        return root
    wanted = case.code.closure(case.code.read_by(call.file, call.line))
    stages = [
        event.source
        for event in events
        if any(word in risk for risk in event.risks for word in _RISKS)
        and (event.source == call or case.code.set_by(event.source.file, event.source.line) & wanted)
    ]
    return stages[0] if stages else root


def _receiver(case: DiagnosisCase, call: SourceLine) -> str:
    match = _RECEIVER.search(case.code.text_at(call.file, call.line))
    return "" if match is None else match[1]
