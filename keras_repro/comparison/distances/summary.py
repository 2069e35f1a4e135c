"""Summarize how far apart two runs are, where their weights diverge and at the end, layer by layer.

summary = summarize_distances(distances(open_ledger("runs/a"), open_ledger("runs/b")))
summary.end.at, summary.end.layers[0].title, summary.end.layers[0].distance     # 'epoch 3', 'dense', 0.021
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.comparison.distances.tensor_distance import ExactDistance
from keras_repro.utils.json_record import JsonRecord

_MOST_IN_JSON = 20


@dataclass(frozen=True)
class LayerDistance(JsonRecord):
    """How far apart one layer is.

    Attributes:
        layer: the structural name.
        title: the name that Keras gives it.
        distance: the relative distance; None if unknown.
        exact: whether the distance is exact, not an estimate.
    """

    layer: str
    title: str
    distance: float | None
    exact: bool


@dataclass(frozen=True)
class DistanceAt:
    """How far apart two runs are at one place.

    Attributes:
        at: the place in words, such as `"epoch 3"`.
        layers: the layers that differ, furthest apart first, unknown distances last.
        of: the number of layers.
        tensors: the tensors that differ according to snapshots, furthest apart first.
    """

    at: str
    layers: tuple[LayerDistance, ...]
    of: int
    tensors: tuple[ExactDistance, ...]

    @property
    def largest(self) -> float | None:
        """The largest known distance of a layer; None if none is known."""
        return next((layer.distance for layer in self.layers if layer.distance is not None), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; of many layers and tensors, those that are furthest apart."""
        return {
            "at": self.at,
            "differing": len(self.layers),
            "of": self.of,
            "layers": [layer.to_dict() for layer in self.layers[:_MOST_IN_JSON]],
            "tensors": [tensor.to_dict() for tensor in self.tensors[:_MOST_IN_JSON]],
        }


@dataclass(frozen=True)
class DistanceSummary:
    """How far apart two runs are.

    Attributes:
        first: the first place where the weights differ.
        end: the last place that both runs recorded.
        notes: why distances are unknown.
    """

    first: DistanceAt
    end: DistanceAt
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"parting": self.first.to_dict(), "end": self.end.to_dict(), "notes": list(self.notes)}


def summarize_distances(distances: LayerDistances) -> DistanceSummary | None:
    """Return the summary; None if the weights are equal at all places that both runs recorded."""
    unequal = ~((distances.values == 0) & distances.exact)
    columns = np.flatnonzero(unequal.any(axis=0))
    if not columns.size:
        return None
    last = len(distances.epochs) - 1
    return DistanceSummary(_at(distances, int(columns[0])), _at(distances, last), distances.notes)


def _at(distances: LayerDistances, column: int) -> DistanceAt:
    values, exact = distances.values[:, column], distances.exact[:, column]
    layers = [
        LayerDistance(
            layer=distances.layers[i],
            title=distances.titles[i],
            distance=float(values[i]) if math.isfinite(values[i]) else None,
            exact=bool(exact[i]),
        )
        for i in np.flatnonzero(~((values == 0) & exact))
    ]
    layers.sort(key=lambda layer: -1.0 if layer.distance is None else layer.distance, reverse=True)
    at = distances.epochs[column]
    tensors = sorted(distances.tensors.get(at, ()), key=_relative, reverse=True)
    return DistanceAt(at=at, layers=tuple(layers), of=len(distances.layers), tensors=tuple(tensors))


def _relative(tensor: ExactDistance) -> float:
    norm = tensor.norms[0] or tensor.norms[1]
    return tensor.apart / norm if norm and math.isfinite(tensor.apart) else math.inf
