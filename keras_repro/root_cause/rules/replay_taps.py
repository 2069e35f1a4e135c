"""What the replay showed inside a step: the first tensor that differs, its layer, its operation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keras_repro.comparison.distances.tensor_distance import tap_distance
from keras_repro.root_cause.diagnosis_case import DiagnosisCase
from keras_repro.storage.divergence_report import (
    LayerDescription,
    OperationReport,
    TapDistance,
    TappedReport,
    TapReport,
)


def first_tap(tapped: TappedReport, differs: Callable[[Sequence[str | None]], bool]) -> TapReport | None:
    """Return the first tap, in the order of the step, for whose digests `differs` is true."""
    return next((t for t in tapped.taps if differs(t.digests)), None)


def first_tap_between_processes(case: DiagnosisCase, tapped: TappedReport) -> tuple[TapReport, str] | None:
    """Return the first tap whose value differs between two processes, and their distance in words."""
    if len(case.evidence.taps) < 2:
        return None
    first, second = case.evidence.taps[:2]
    for index, tap in enumerate(tapped.taps):
        if index in first and index in second:
            measured = tap_distance(first[index], second[index])
            if measured.elements:
                return tap, _distance_text(measured, _ulps(measured.ulps, tap.dtype))
    return None


def _ulps(ulps: int | None, dtype: str | None) -> int | None:
    """Return ULPs of the dtype in the step; a dtype that NumPy does not have was stored as float32."""
    if ulps is None or dtype in (None, "float16", "float32", "float64"):
        return ulps
    return ulps >> 16 if dtype == "bfloat16" else None  # the upper half of a float32


def operation_for(tap: TapReport | None, operations: Sequence[OperationReport]) -> OperationReport | None:
    """Return the operation that explains the first tap that differs: in its layer, else the first of all."""
    if tap is not None and tap.kind == "output":
        inside = [o for o in operations if f"{o.layer}/".startswith(f"{tap.name}/")]
        if inside:
            return inside[0]
    outside = [o for o in operations if not o.layer]
    return next(iter([*outside, *operations]), None)


def layer_of(
    case: DiagnosisCase, tap: TapReport | None, operation: OperationReport | None = None
) -> LayerDescription:
    """Return the layer of an operation or a tap; an empty description if it is in none."""
    if operation is not None and operation.layer:
        return case.user_layer(operation.layer, operation.layer_class)
    if tap is not None and tap.kind == "output":
        return case.user_layer(tap.name, tap.layer_class)
    return LayerDescription()


def repeating_text(tapped: TappedReport) -> str:
    """Return which tensors of the step repeat themselves while it is inspected, in words."""
    names = {"input": "inputs", "output": "outputs of layers", "loss": "loss", "gradient": "gradients"}
    kinds = {tap.kind for tap in tapped.taps}
    return f"while the step is inspected, these repeat: {', '.join(names[k] for k in names if k in kinds)}"


def tap_text(tap: TapReport) -> str:
    """Return a tap that differs in words."""
    what = {
        "input": f"the input of {tap.name}",
        "output": f"the output of {tap.name} ({tap.layer_class})",
        "loss": "the loss",
        "gradient": f"the gradient of {tap.name}",
    }[tap.kind]
    text = f"first to differ inside the step: {what}"
    return text if tap.distance is None else f"{text}; {_distance_text(tap.distance, tap.distance.ulps)}"


def _distance_text(measured: TapDistance, ulps: int | None) -> str:
    text = f"{measured.elements} of {measured.of} values differ"
    if ulps is not None and measured.largest is not None:
        text += f", by {measured.largest:.2g} at most ({ulps} ULPs)"
    return text
