"""What a replay showed of the inside of a step: the first tensor that differs, its layer, its operation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from keras_repro.comparison.distances.tensor_distance import distance
from keras_repro.root_cause.evidence import DiagnosisCase

Tap = Mapping[str, Any]


def first_tap(tapped: Mapping[str, Any], differs: Callable[[Sequence[str | None]], bool]) -> Tap | None:
    """The first tap, in the order of the step, whose digests differ as asked."""
    return next((t for t in tapped.get("taps", ()) if differs(t["digests"])), None)


def first_across(case: DiagnosisCase) -> tuple[Tap, str] | None:
    """The first tap whose value differs between two processes, and how far."""
    if len(case.evidence.taps) < 2:
        return None
    mine, other = case.evidence.taps[:2]
    for index, tap in enumerate(case.replay.get("tapped", {}).get("taps", ())):
        if index in mine and index in other:
            gap = distance(mine[index], other[index])
            if gap["elements"]:
                return tap, _gap_in_words(gap | {"ulps": _ulps(gap["ulps"], tap.get("dtype"))})
    return None


def _ulps(ulps: int | None, dtype: str | None) -> int | None:
    """ULPs of the dtype that a tap had in the step; where NumPy has none such, it was kept as float32."""
    if ulps is None or dtype in (None, "float16", "float32", "float64"):
        return ulps
    return ulps >> 16 if dtype == "bfloat16" else None  # the upper half of a float32


def operation_for(tap: Tap | None, operations: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The operation that fits the first tap that differs: in its layer, else the first of all."""
    if tap is not None and tap["kind"] == "output":
        below = tap["name"] + "/"
        inside = [o for o in operations if o["layer"] == tap["name"] or o["layer"].startswith(below)]
        if inside:
            return inside[0]
    outside = [o for o in operations if not o["layer"]]
    return next(iter([*outside, *operations]), None)


def layer_of(
    case: DiagnosisCase, tap: Tap | None, operation: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    """The layer that a tap or an operation is of, with the line that made it; empty if it is of none."""
    if operation is not None and operation.get("layer"):
        return case.layer(operation["layer"], operation["class"])
    if tap is not None and tap["kind"] == "output":
        return case.layer(tap["name"], tap["layer"])
    return {}


def tap_in_words(tap: Tap | None, tensor: str | None) -> str:
    """The first tap that differs; where none does, it is the update that does."""
    if tap is None:
        return f"in the step, layers, loss and gradients agree: the update of {tensor or 'the state'} differs"
    what = {
        "input": f"what goes into {tap['name']}",
        "output": f"the output of {tap['name']} ({tap['layer']})",
        "loss": "the loss",
        "gradient": f"the gradient of {tap['name']}",
    }[tap["kind"]]
    text = f"first to differ inside the step: {what}"
    gap = tap.get("distance")
    return f"{text}; {_gap_in_words(gap)}" if gap else text


def _gap_in_words(gap: Mapping[str, Any]) -> str:
    text = f"{gap['elements']} of {gap['of']} values differ"
    if gap.get("ulps") is not None and gap.get("largest") is not None:
        text += f", by {gap['largest']:.2g} at most ({gap['ulps']} ULPs)"
    return text
