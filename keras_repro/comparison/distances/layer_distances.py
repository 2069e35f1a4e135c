"""How far apart the weights of two runs are, layer by layer and epoch by epoch, from their run folders alone.

    found = distances("runs/a", "runs/b")
    found.epochs, found.layers, found.titles      # ('start', 'epoch 1'), ('layers/0',), ('dense',)
    found.values, found.exact                     # arrays of shape (layers, epochs)

A distance is relative: the Euclidean norm of the difference over that of the first run's weights. It is 0
where the digests agree, exact where both runs kept a snapshot, and else estimated from the sketches beside
the ledgers (`record.sketch`). Needs no TensorFlow.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from keras_repro.comparison.distances.sketch_pairs import SketchedRun, pairs_of
from keras_repro.comparison.distances.snapshot_pairs import RecordedSnapshot, exact_distances
from keras_repro.comparison.distances.tensor_distance import ExactDistance
from keras_repro.errors import SnapshotError
from keras_repro.ledger.schema import Record
from keras_repro.storage.linear_sketch import SUMS, is_integer, sketched_distance
from keras_repro.storage.sketch_file import SketchRecord
from keras_repro.utils.text import escape_control_chars

_Runs = tuple[SketchedRun, SketchedRun]


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerDistances:
    """How far apart the weights of two runs are.

    Attributes:
        epochs: what the columns are, in words: `"start"`, `"epoch 1"`, or `"fit 2, epoch 1"` where there are
            several fits; `"end"` where a fit left behind other weights than its last epoch.
        layers: structural names of what holds the tensors, in the structure's order, such as `"layers/0"`.
        titles: the names that Keras gives them, such as `"dense"`.
        values: float64, of shape (layers, epochs): relative distances; NaN where not known. A layer with
            whole numbers among its weights has the larger of the distances of these and of the others.
        exact: bool, of the same shape: from snapshots, equal digests or tensors that are recorded as they
            are (up to 31 elements), not estimated.
        tensors: by column, what the snapshots there say of each tensor that differs.
        complete: whether the last column is what both runs left behind.
        notes: why distances are not known.
    """

    epochs: tuple[str, ...]
    layers: tuple[str, ...]
    titles: tuple[str, ...]
    values: np.ndarray
    exact: np.ndarray
    tensors: Mapping[str, tuple[ExactDistance, ...]] = field(default_factory=dict)
    complete: bool = False
    notes: tuple[str, ...] = ()


def distances(
    a: str | os.PathLike[str], b: str | os.PathLike[str], *, places: Literal["all", "ends"] = "all"
) -> LayerDistances:
    """How far apart the weights of two runs are.

    Args:
        a: a run folder or a ledger; distances are relative to its weights.
        b: the other one.
        places: all columns, or only two: where the weights part, and the last.

    Raises:
        LedgerError: a ledger cannot be read, or what lies beside it is damaged.
    """
    runs = SketchedRun(a), SketchedRun(b)
    layers = _Layers()
    columns: list[_Column] = []
    fits: set[int | None] = set()
    before: tuple[str, str] | None = None
    left_out: tuple[Record, Record] | None = None
    parted = False
    for pair in pairs_of(*runs):
        here = pair[0].sections["weights"], pair[1].sections["weights"]
        if pair[0].kind == "end" and (here == before or _was_cut_short(pair, runs)):
            continue
        before = here
        fits.add(pair[0].fit)
        parts, parted = not parted and here[0] != here[1], parted or here[0] != here[1]
        left_out = None if places == "all" or parts else pair
        if left_out is None:
            columns.append(_column(pair, runs, layers))
    if left_out is not None:
        columns.append(_column(left_out, runs, layers))
    shape = len(layers.names), len(columns)
    values, exact = np.full(shape, np.nan), np.zeros(shape, bool)
    for number, column in enumerate(columns):
        values[: len(column.values), number] = column.values
        exact[: len(column.exact), number] = column.exact
    labels = tuple(f"fit {(c.fit or 0) + 1}, {c.label}" if len(fits) > 1 else c.label for c in columns)
    return LayerDistances(
        epochs=labels,
        layers=tuple(layers.names),
        titles=tuple(layers.titles),
        values=values,
        exact=exact,
        tensors={label: c.tensors for label, c in zip(labels, columns, strict=True) if c.tensors},
        complete=bool(columns) and columns[-1].sections == tuple(r.last for r in runs),
        notes=tuple(dict.fromkeys(n for run in runs for n in run.notes)),
    )


def _was_cut_short(ends: tuple[Record, Record], runs: _Runs) -> bool:
    """Whether one fit was stopped before the other's end: what it left is then no end to compare."""
    stopped = any(r.extra.get("status") == "stopped" for r in ends)
    return stopped and runs[0].epochs.get(ends[0].fit) != runs[1].epochs.get(ends[1].fit)


class _Layers:
    """The layers by number, in the order in which they appear."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.titles: list[str] = []
        self._numbers: dict[str, int] = {}

        self.plan: tuple[Any, _Plan] | None = None  # the last one, with what it was made from

    def number(self, tensor: str, keras_name: str) -> int:
        """The number of the layer that holds a tensor."""
        holder = tensor.rpartition("/")[0] or tensor
        if holder not in self._numbers:
            self._numbers[holder] = len(self.names)
            self.names.append(holder)
            above = keras_name.rpartition("/")[0]
            self.titles.append(above.rpartition("/")[2] or holder)
        return self._numbers[holder]


@dataclass(frozen=True)
class _Column:
    """One place of both runs: distance of each layer, and whether it is exact."""

    fit: int | None
    label: str
    sections: tuple[str, str]  # the digests of the weights
    values: np.ndarray
    exact: np.ndarray
    tensors: tuple[ExactDistance, ...]


@dataclass(frozen=True)
class _Apart:
    """How far apart each tensor is at one place."""

    names: list[str]
    plan: _Plan
    equal: np.ndarray
    distance: np.ndarray
    norms: np.ndarray  # (2, tensors); 0 where not known
    exact: np.ndarray


def _column(records: tuple[Record, Record], runs: _Runs, layers: _Layers) -> _Column:
    record, other = records
    apart, tensors = _kept(records, _sketched(record, other, runs, layers), runs)
    values, exact = _by_layer(apart, len(layers.names))
    return _Column(
        fit=record.fit,
        label=f"epoch {(record.epoch or 0) + 1}" if record.kind == "epoch" else record.kind,
        sections=(record.sections["weights"], other.sections["weights"]),
        values=values,
        exact=exact,
        tensors=tensors,
    )


def _kept(
    records: tuple[Record, Record], apart: _Apart, runs: _Runs
) -> tuple[_Apart, tuple[ExactDistance, ...]]:
    """How far apart the tensors are by the snapshots that both runs kept there; what those say of each."""
    kept = [RecordedSnapshot(run.file.path.parent, record) for run, record in zip(runs, records, strict=True)]
    if apart.equal.all() or not all(k.path for k in kept):
        return apart, ()
    known = apart.equal & (apart.norms[0] > 0)
    try:
        found = exact_distances(*kept, names=[n for n, k in zip(apart.names, known, strict=True) if not k])
    except SnapshotError as error:
        runs[0].notes.append(str(error))
        return apart, ()
    distance, norms, exact = apart.distance.copy(), apart.norms.copy(), apart.exact.copy()
    for i, name in enumerate(apart.names):
        if name in found:
            distance[i], norms[:, i], exact[i] = found[name].apart, found[name].norms, True
    differing = tuple(d for d in found.values() if d.elements)
    return replace(apart, distance=distance, norms=norms, exact=exact), differing


def _sketched(left: Record, right: Record, runs: _Runs, layers: _Layers) -> _Apart:
    """What digests and sketches tell of each tensor."""
    digests = dict(left.tensors.get("weights", {})), dict(right.tensors.get("weights", {}))
    names = list(digests[0] | digests[1])
    sketches = runs[0].sketches(left), runs[1].sketches(right)
    made_from = *map(list, digests), *(() if s is None else s.tensors for s in sketches)
    if layers.plan is None or layers.plan[0] != made_from:
        layers.plan = made_from, _plan(names, digests, sketches, runs, layers)
    plan = layers.plan[1]
    if digests[0] == digests[1]:
        equal = np.ones(len(names), bool)
        return _Apart(names, plan, equal, np.zeros(len(names)), np.zeros((2, len(names))), equal)
    equal = np.array([digests[0].get(n) == digests[1].get(n) for n in names], bool)
    distance = np.where(equal, 0.0, np.nan)
    norms = np.zeros((2, len(names)))
    found = plan.found
    if len(found):
        rows = [s.rows[i, : plan.parts] for s, i in zip(sketches, plan.rows, strict=True) if s is not None]
        norms[:, found] = [r[:, 0, 0] for r in rows]
        estimated = sketched_distance(rows[0], rows[1], plan.elements)
        distance[found] = np.where(equal[found], 0.0, estimated)
        for run, held in zip(runs, norms, strict=True):
            odd = np.flatnonzero(~np.isfinite(held) & ~equal)
            run.notes += [
                f"{escape_control_chars(names[i])} is not finite in {run.file.path.parent}" for i in odd[:1]
            ]
    exact = equal.copy()
    exact[found] |= plan.elements <= SUMS
    return _Apart(names, plan, equal, distance, norms, exact)


@dataclass(frozen=True)
class _Plan:
    """Which rows belong to which tensor and layer: the same from record to record, mostly."""

    layers: np.ndarray  # of each tensor
    integer: np.ndarray
    found: np.ndarray  # tensors with sketches in both runs
    rows: tuple[np.ndarray, np.ndarray]  # their rows in each run
    elements: np.ndarray
    parts: int  # rows of a tensor that any of them needs


def _plan(
    names: Sequence[str],
    digests: tuple[dict[str, str], dict[str, str]],
    sketches: tuple[SketchRecord | None, SketchRecord | None],
    runs: _Runs,
    layers: _Layers,
) -> _Plan:
    known = runs[1].shapes | runs[0].shapes
    unknown: list[Any] = ["", [], ""]
    described = [known.get(n, unknown) for n in names]
    numbers = [
        layers.number(n, str(d[2]) if len(d) > 2 else "") for n, d in zip(names, described, strict=True)
    ]
    at = [{} if s is None else {t: i for i, t in enumerate(s.tensors)} for s in sketches]
    by_name = {t.name: t for t in at[0] if t in at[1]}
    found = [i for i, n in enumerate(names) if n in by_name and n in digests[0] and n in digests[1]]
    tensors = [by_name[names[i]] for i in found]
    return _Plan(
        layers=np.array(numbers, int),
        integer=np.array([is_integer(str(d[0])) for d in described], bool),
        found=np.array(found, int),
        rows=(np.array([at[0][t] for t in tensors], int), np.array([at[1][t] for t in tensors], int)),
        elements=np.array([t.elements for t in tensors], float),
        parts=max((t.parts for t in tensors), default=1),
    )


def _by_layer(apart: _Apart, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Relative distances of layers, and whether they are exact.

    Of a layer's whole numbers and of all its others, the distance that is larger.
    """
    values, held, plan = np.zeros(count), np.zeros(count, bool), apart.plan
    with np.errstate(all="ignore"):
        for group in (~plan.integer, plan.integer):
            layers = plan.layers[group]
            squares = np.bincount(layers, np.square(apart.distance[group]), count)
            of = np.bincount(layers, np.square(apart.norms[0, group]), count)
            # In the size of zeros nothing is near: there the other run's size is taken.
            of = np.where(of > 0, of, np.bincount(layers, np.square(apart.norms[1, group]), count))
            values = np.maximum(values, np.where(squares == 0, 0.0, np.sqrt(squares / of)))
            held |= np.bincount(layers, minlength=count) > 0
    values = np.where(held, values, np.nan)
    exact = ~np.isnan(values)
    np.logical_and.at(exact, plan.layers, apart.exact)
    return values, exact
