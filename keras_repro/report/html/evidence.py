"""The evidence for where two runs part: digests of both, and what snapshots tell of single elements.

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

_MOST = 20


def digest_lines(divergence: Divergence | None, pair: RunPair) -> list[dict[str, Any]]:
    """The digests of the first tensors that differ, of both runs.

    Args:
        divergence: where the runs part, None where they do not.
        pair: both runs.
    """
    if divergence is None or pair.parted is None:
        return []
    held = [r.tensors for r in pair.parted]
    lines = []
    for one in divergence.tensors[:_MOST]:
        section, tensor = one["section"], one["tensor"]
        a, b = (h.get(section, {}).get(tensor, "not there") for h in held)
        name = divergence.keras_name if tensor == divergence.tensor else None
        lines.append(
            {
                "section": section_text(section),
                "tensor": tensor,
                "keras_name": name if name != tensor else None,
                "a": a,
                "b": b,
            }
        )
    return lines


def exact_lines(found: DistanceSummary | None) -> list[dict[str, Any]]:
    """What snapshots tell of tensors, where the weights part and in the end; empty without snapshots."""
    if found is None:
        return []
    places = [found.first] if found.first.at == found.end.at else [found.first, found.end]
    return [{"at": p.at, "lines": [exact_line(t) for t in p.tensors[:_MOST]]} for p in places if p.tensors]


def exact_line(tensor: ExactDistance) -> dict[str, str]:
    """One tensor in texts."""
    largest = "not finite" if tensor.largest is None else short_number(tensor.largest)
    return {
        "tensor": tensor.tensor,
        "elements": f"{tensor.elements:,} of {tensor.of:,}",
        "ulps": "" if tensor.ulps is None else f"{tensor.ulps:,}",
        "scaled": "" if tensor.scaled is None else short_number(tensor.scaled),
        "largest": f"{largest} at {list(tensor.index)}" if tensor.index is not None else largest,
    }


def apart_in_words(apart: DistanceAt) -> str:
    """How far apart two runs are at one place, in a line: the layer that is furthest."""
    text = f"{apart.at}: {len(apart.layers):,} of {apart.of:,} layers differ"
    furthest = next((layer for layer in apart.layers if layer.distance is not None), None)
    if furthest is None or furthest.distance is None:
        return f"{text}; it is not known how far"
    about = "" if furthest.exact else "about "
    return f"{text}, {furthest.title} the most, by {about}{short_number(furthest.distance)} of its weights"
