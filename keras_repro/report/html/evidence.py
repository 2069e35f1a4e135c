"""Show the evidence of a divergence: digests of both runs, and single elements from snapshots.

>>> import numpy as np
>>> from keras_repro.comparison.distances.tensor_distance import exact_distance
>>> line = exact_line(exact_distance("bias", np.array([1.0, 2.0]), np.array([1.0, 2.5])))
>>> line["elements"], line["largest"]
('1 of 2', '0.5 at [1]')
"""

from __future__ import annotations

from typing import Any

from keras_repro.comparison.distances.summary import DistanceAt, DistanceSummary
from keras_repro.comparison.distances.tensor_distance import ExactDistance
from keras_repro.comparison.divergence import Divergence
from keras_repro.ledger.position_text import section_text
from keras_repro.report.run_pair import RunPair
from keras_repro.report.text import short_number

_MOST_TENSORS = 20


def digest_lines(divergence: Divergence | None, pair: RunPair) -> list[dict[str, Any]]:
    """Return the digests of both runs of the first tensors that differ.

    Args:
        divergence: the divergence of the runs; None if they do not diverge.
        pair: both runs.
    """
    if divergence is None or pair.diverging_records is None:
        return []
    lines = []
    for differing in divergence.tensors[:_MOST_TENSORS]:
        section, tensor = differing["section"], differing["tensor"]
        a, b = (r.tensors.get(section, {}).get(tensor, "missing") for r in pair.diverging_records)
        has_other_name = tensor == divergence.tensor != divergence.keras_name
        lines.append(
            {
                "section": section_text(section),
                "tensor": tensor,
                "keras_name": divergence.keras_name if has_other_name else None,
                "a": a,
                "b": b,
            }
        )
    return lines


def exact_tables(summary: DistanceSummary | None) -> list[dict[str, Any]]:
    """Return exact distances of tensors at the divergence and at the end; empty without snapshots."""
    if summary is None:
        return []
    places = {distance.at: distance for distance in (summary.first, summary.end)}
    return [
        {"at": at, "lines": [exact_line(t) for t in distance.tensors[:_MOST_TENSORS]]}
        for at, distance in places.items()
        if distance.tensors
    ]


def exact_line(tensor: ExactDistance) -> dict[str, str]:
    """Return the distance of a tensor in texts."""
    largest = "not finite" if tensor.largest is None else short_number(tensor.largest)
    return {
        "tensor": tensor.tensor,
        "elements": f"{tensor.elements:,} of {tensor.of:,}",
        "ulps": "" if tensor.ulps is None else f"{tensor.ulps:,}",
        "scaled": "" if tensor.scaled is None else short_number(tensor.scaled),
        "largest": f"{largest} at {list(tensor.index)}" if tensor.index is not None else largest,
    }


def distance_in_words(distance: DistanceAt) -> str:
    """Return how many layers differ, and the most distant one."""
    text = f"{distance.at}: {len(distance.layers):,} of {distance.of:,} layers differ"
    layer = next((layer for layer in distance.layers if layer.distance is not None), None)
    if layer is None or layer.distance is None:
        return f"{text}; distance unknown"
    about = "" if layer.exact else "about "
    return f"{text}, {layer.title} the most, by {about}{short_number(layer.distance)} of its weights"
