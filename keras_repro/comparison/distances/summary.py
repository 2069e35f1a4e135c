"""How far apart two runs are where their weights part and at the end, layer by layer.

found = how_far(distances("runs/a", "runs/b"))
found.end.at, found.end.layers[0].title, found.end.layers[0].distance     # 'epoch 3', 'dense', 0.021
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.comparison.distances.tensor_distance import ExactDistance

_MOST = 20


@dataclass(frozen=True)
class LayerDistance:
    """How far apart one layer is.

    Attributes:
        layer: its structural name.
        title: the name that Keras gives it.
        distance: relative; None where it is not known.
        exact: whether it is no estimate.
    """

    layer: str
    title: str
    distance: float | None
    exact: bool

    def to_dict(self) -> dict[str, Any]:
        """The machine form."""
        return {"layer": self.layer, "title": self.title, "distance": self.distance, "exact": self.exact}


@dataclass(frozen=True)
class DistanceAt:
    """How far apart two runs are at one place.

    Attributes:
        at: the place in words, such as `"epoch 3"`.
        layers: those that differ, the furthest first, those whose distance is not known last.
        of: how many layers there are.
        tensors: what snapshots tell of each tensor that differs, the furthest first.
    """

    at: str
    layers: tuple[LayerDistance, ...]
    of: int
    tensors: tuple[ExactDistance, ...]

    @property
    def largest(self) -> float | None:
        """The largest distance of a layer that is known; None where none is."""
        return next((layer.distance for layer in self.layers if layer.distance is not None), None)

    def to_dict(self) -> dict[str, Any]:
        """The machine form; of many layers and tensors those that are furthest apart."""
        return {
            "at": self.at,
            "differing": len(self.layers),
            "of": self.of,
            "layers": [layer.to_dict() for layer in self.layers[:_MOST]],
            "tensors": [tensor.to_dict() for tensor in self.tensors[:_MOST]],
        }


@dataclass(frozen=True)
class DistanceSummary:
    """How far apart two runs are.

    Attributes:
        parting: where their weights part.
        end: the last place that both have.
        notes: why distances are not known.
    """

    parting: DistanceAt
    end: DistanceAt
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The machine form."""
        found = {"parting": self.parting.to_dict(), "end": self.end.to_dict(), "notes": list(self.notes)}
        return found


def how_far(found: LayerDistances) -> DistanceSummary | None:
    """What the distances say of two runs; None where their weights are the same as far as both recorded."""
    unlike = ~((found.values == 0) & found.exact)
    columns = np.flatnonzero(unlike.any(axis=0))
    if not columns.size:
        return None
    return DistanceSummary(_apart(found, int(columns[0])), _apart(found, len(found.epochs) - 1), found.notes)


def _apart(found: LayerDistances, column: int) -> DistanceAt:
    values, exact = found.values[:, column], found.exact[:, column]
    unlike = [
        LayerDistance(
            layer=found.layers[i],
            title=found.titles[i],
            distance=float(values[i]) if math.isfinite(values[i]) else None,
            exact=bool(exact[i]),
        )
        for i in np.flatnonzero(~((values == 0) & exact))
    ]
    unlike.sort(key=lambda layer: -1.0 if layer.distance is None else layer.distance, reverse=True)
    at = found.epochs[column]
    tensors = sorted(found.tensors.get(at, ()), key=_relative, reverse=True)
    return DistanceAt(at=at, layers=tuple(unlike), of=len(found.layers), tensors=tuple(tensors))


def _relative(tensor: ExactDistance) -> float:
    size = tensor.norms[0] or tensor.norms[1]
    return tensor.apart / size if size and math.isfinite(tensor.apart) else math.inf
