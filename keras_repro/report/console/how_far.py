"""How far apart two runs are, on a console: a few short lines."""

from __future__ import annotations

from collections.abc import Iterator

from keras_repro.comparison.distances.summary import DistanceAt, DistanceSummary, LayerDistance
from keras_repro.comparison.distances.tensor_distance import ExactDistance
from keras_repro.utils.text import escape_control_chars

_MOST = 3
_LONGEST = 44


def how_far_lines(found: DistanceSummary) -> Iterator[str]:
    """The lines: where the weights part and in the end, the layers that are furthest apart.

    Each line fits into 60 columns. `~` stands before what was estimated.
    """
    if found.parting.largest is None and found.end.largest is None:
        reason = "; ".join(found.notes) or "no layer is in both runs"
        yield f"how far apart: not known; {escape_control_chars(reason)}"
        return
    if found.parting.at == found.end.at:
        yield from _place(found.end, "how far apart")
    else:
        yield from _place(found.parting, "how far apart where weights part")
        yield from _place(found.end, "how far apart in the end")
    for tensor in found.end.tensors[:1]:
        yield from _exact(tensor)
    for note in found.notes:
        yield f"  {escape_control_chars(note)}"


def _place(apart: DistanceAt, title: str) -> Iterator[str]:
    yield f"{title}, {apart.at}: {len(apart.layers)} of {apart.of} layers"
    known = [layer for layer in apart.layers if layer.distance is not None]
    for layer in known[:_MOST]:
        yield f"  {_size(layer):>8}  {_shortened(_name(layer))}"
    if len(apart.layers) > len(known):
        yield f"         ?  {len(apart.layers) - len(known)} layers, not known how far"


def _exact(tensor: ExactDistance) -> Iterator[str]:
    """What snapshots tell of a tensor."""
    name = _shortened(escape_control_chars(tensor.tensor))
    yield f"  {name}: {tensor.elements:,} of {tensor.of:,} elements,"
    at = "" if tensor.index is None else f" at {list(tensor.index)}"
    ulps = "" if tensor.ulps is None else f"{_count(tensor.ulps)} ULPs at most; "
    largest = "not finite" if tensor.largest is None else f"{tensor.largest:.2g}"
    yield f"    by {ulps}{largest}{at}"


def _count(number: int) -> str:
    return f"{number:,}" if number < 1_000_000 else f"{number:.1e}"


def _name(layer: LayerDistance) -> str:
    same = layer.title == layer.layer
    return escape_control_chars(layer.layer if same else f"{layer.layer} ({layer.title})")


def _size(layer: LayerDistance) -> str:
    return f"{'' if layer.exact else '~'}{layer.distance:.2g}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"...{text[3 - _LONGEST :]}"
