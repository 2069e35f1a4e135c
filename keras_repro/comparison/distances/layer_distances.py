"""How far apart the weights of two runs are, by layer and epoch, from their run folders alone.

    found = distances(open_ledger("runs/a"), open_ledger("runs/b"))
    found.epochs, found.layers, found.titles      # ('start', 'epoch 1'), ('layers/0',), ('dense',)
    found.values, found.exact                     # arrays of shape (layers, epochs)

A distance is relative: the Euclidean norm of the difference over that of the first run's weights. It is 0 if
the digests are equal, exact if both runs kept a snapshot, and otherwise estimated from the sketches next to
the ledgers (`storage.linear_sketch`). Needs no TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from keras_repro.comparison.distances.sketch_pairs import SketchedRun, pairs_of
from keras_repro.comparison.distances.snapshot_pairs import exact_distances, snapshot_path
from keras_repro.comparison.distances.tensor_distance import ExactDistance
from keras_repro.errors import SnapshotError
from keras_repro.ledger.position_text import column_label
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import Record
from keras_repro.storage.linear_sketch import SUMS, is_integer, sketched_distance
from keras_repro.storage.sketch_file import SketchRecord
from keras_repro.utils.text import escape_control_chars

_Runs = tuple[SketchedRun, SketchedRun]
_Records = tuple[Record, Record]


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerDistances:
    """How far apart the weights of two runs are.

    Attributes:
        epochs: the columns in words: `"start"`, `"epoch 1"`, or `"fit 2, epoch 1"` if there are several
            fits; `"end"` if a fit ended with other weights than its last epoch.
        layers: the structural names of the layers, such as `"layers/0"`, in the structure's order.
        titles: the names that Keras gives them, such as `"dense"`.
        values: the relative distances, float64 of shape (layers, epochs); NaN if unknown. If a layer has
            integer weights too, the larger of the distances of these and of the others.
        exact: bool of the same shape: whether the distance is exact (from snapshots, equal digests, or
            tensors of up to 31 elements, whose values are recorded), not estimated.
        tensors: by column, the exact distance of each tensor that differs according to the snapshots.
        complete: whether the last column is the final state of both runs.
        notes: why distances are unknown.
    """

    epochs: tuple[str, ...]
    layers: tuple[str, ...]
    titles: tuple[str, ...]
    values: np.ndarray
    exact: np.ndarray
    tensors: Mapping[str, tuple[ExactDistance, ...]] = field(default_factory=dict)
    complete: bool = False
    notes: tuple[str, ...] = ()


def distances(a: LedgerReader, b: LedgerReader, *, places: Literal["all", "ends"] = "all") -> LayerDistances:
    """Return how far apart the weights of two runs are.

    Args:
        a: the first run; distances are relative to its weights.
        b: the second run.
        places: all columns, or only two: where the weights diverge, and the last.

    Raises:
        LedgerError: a ledger or its sketches are damaged.
    """
    runs = SketchedRun(a), SketchedRun(b)
    layers = _Layers()
    columns: list[_Column] = []
    fits: set[int | None] = set()
    previous: tuple[str, str] | None = None
    skipped: _Records | None = None
    diverged = False
    for pair in pairs_of(*runs):
        digests = _weight_digests(pair)
        if pair[0].kind == "end" and (digests == previous or _was_cut_short(pair, runs)):
            continue
        previous = digests
        fits.add(pair[0].fit)
        first = not diverged and digests[0] != digests[1]
        diverged = diverged or first
        skipped = None if places == "all" or first else pair
        if skipped is None:
            columns.append(_column(pair, runs, layers))
    if skipped is not None:
        columns.append(_column(skipped, runs, layers))
    shape = len(layers.names), len(columns)
    values, exact = np.full(shape, np.nan), np.zeros(shape, bool)
    for number, column in enumerate(columns):
        values[: len(column.values), number] = column.values
        exact[: len(column.exact), number] = column.exact
    labels = tuple(column.label(several_fits=len(fits) > 1) for column in columns)
    return LayerDistances(
        epochs=labels,
        layers=tuple(layers.names),
        titles=tuple(layers.titles),
        values=values,
        exact=exact,
        tensors={label: c.tensors for label, c in zip(labels, columns, strict=True) if c.tensors},
        complete=bool(columns) and _weight_digests(columns[-1].records) == (runs[0].last, runs[1].last),
        notes=tuple(dict.fromkeys(n for run in runs for n in run.notes)),
    )


def _weight_digests(records: _Records) -> tuple[str, str]:
    return records[0].sections["weights"], records[1].sections["weights"]


def _was_cut_short(ends: _Records, runs: _Runs) -> bool:
    """Return whether one fit was stopped before the other's end: its end cannot be compared then."""
    stopped = any(r.extra.get("status") == "stopped" for r in ends)
    return stopped and runs[0].epochs.get(ends[0].fit) != runs[1].epochs.get(ends[1].fit)


class _Layers:
    """The layers by number, in the order in which they appear."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.titles: list[str] = []
        self.plan: tuple[Any, _Plan] | None = None  # the last one, with what it was made from
        self._numbers: dict[str, int] = {}

    def number(self, tensor: str, keras_name: str) -> int:
        """Return the number of the layer that a tensor belongs to."""
        layer = tensor.rpartition("/")[0] or tensor
        if layer not in self._numbers:
            self._numbers[layer] = len(self.names)
            self.names.append(layer)
            path = keras_name.rpartition("/")[0]
            self.titles.append(path.rpartition("/")[2] or layer)
        return self._numbers[layer]


@dataclass(frozen=True)
class _Column:
    """The distance of each layer between two records, and whether it is exact."""

    records: _Records
    values: np.ndarray
    exact: np.ndarray
    tensors: tuple[ExactDistance, ...]

    def label(self, *, several_fits: bool) -> str:
        record = self.records[0]
        epoch = record.epoch if record.kind == "epoch" else None
        return column_label(record.kind, record.fit or 0, epoch, several_fits=several_fits)


@dataclass(frozen=True)
class _TensorDistances:
    """How far apart each tensor is at one place."""

    names: list[str]
    plan: _Plan
    equal: np.ndarray
    distance: np.ndarray
    norms: np.ndarray  # (2, tensors); 0 if unknown
    exact: np.ndarray


def _column(records: _Records, runs: _Runs, layers: _Layers) -> _Column:
    estimated = _from_sketches(*records, runs, layers)
    by_tensor, tensors = _from_snapshots(records, estimated, runs)
    return _Column(records, *_by_layer(by_tensor, len(layers.names)), tensors)


def _from_snapshots(
    records: _Records, estimated: _TensorDistances, runs: _Runs
) -> tuple[_TensorDistances, tuple[ExactDistance, ...]]:
    """Return the distances, exact if both runs kept a snapshot, and those of the tensors that differ."""
    left, right = (
        snapshot_path(r.ledger.path.parent, record) for r, record in zip(runs, records, strict=True)
    )
    if estimated.equal.all() or left is None or right is None:
        return estimated, ()
    known = estimated.equal & (estimated.norms[0] > 0)
    unknown = [n for n, is_known in zip(estimated.names, known, strict=True) if not is_known]
    try:
        by_name = exact_distances((left, right), records, names=unknown)
    except SnapshotError as error:
        runs[0].notes.append(str(error))
        return estimated, ()
    distance, norms, exact = estimated.distance.copy(), estimated.norms.copy(), estimated.exact.copy()
    for i, name in enumerate(estimated.names):
        if name in by_name:
            distance[i], norms[:, i], exact[i] = by_name[name].apart, by_name[name].norms, True
    differing = tuple(d for d in by_name.values() if d.elements)
    return replace(estimated, distance=distance, norms=norms, exact=exact), differing


def _from_sketches(left: Record, right: Record, runs: _Runs, layers: _Layers) -> _TensorDistances:
    """Return the distance of each tensor by digests and sketches."""
    digests = dict(left.tensors.get("weights", {})), dict(right.tensors.get("weights", {}))
    names = list(digests[0] | digests[1])
    sketches = runs[0].sketches(left), runs[1].sketches(right)
    made_from = *map(list, digests), *(() if s is None else s.tensors for s in sketches)
    if layers.plan is None or layers.plan[0] != made_from:
        layers.plan = made_from, _plan(names, digests, sketches, runs, layers)
    plan = layers.plan[1]
    if digests[0] == digests[1]:
        equal = np.ones(len(names), bool)
        return _TensorDistances(names, plan, equal, np.zeros(len(names)), np.zeros((2, len(names))), equal)
    equal = np.array([digests[0].get(n) == digests[1].get(n) for n in names], bool)
    distance = np.where(equal, 0.0, np.nan)
    norms = np.zeros((2, len(names)))
    sketched = plan.sketched
    if len(sketched):
        rows = [s.rows[i, : plan.parts] for s, i in zip(sketches, plan.rows, strict=True) if s is not None]
        norms[:, sketched] = [r[:, 0, 0] for r in rows]
        estimated = sketched_distance(rows[0], rows[1], plan.elements)
        distance[sketched] = np.where(equal[sketched], 0.0, estimated)
        for run, run_norms in zip(runs, norms, strict=True):
            for i in np.flatnonzero(~np.isfinite(run_norms) & ~equal)[:1]:
                run.notes.append(
                    f"{escape_control_chars(names[i])} is not finite in {run.ledger.path.parent}"
                )
    exact = equal.copy()
    exact[sketched] |= plan.elements <= SUMS
    return _TensorDistances(names, plan, equal, distance, norms, exact)


@dataclass(frozen=True)
class _Plan:
    """Which rows belong to which tensor and layer: mostly the same from record to record."""

    layers: np.ndarray  # of each tensor
    integer: np.ndarray
    sketched: np.ndarray  # tensors with sketches in both runs
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
    shapes = runs[1].shapes | runs[0].shapes
    unknown: list[Any] = ["", [], ""]
    described = [shapes.get(n, unknown) for n in names]
    numbers = [
        layers.number(n, str(d[2]) if len(d) > 2 else "") for n, d in zip(names, described, strict=True)
    ]
    rows = [{} if s is None else {t: i for i, t in enumerate(s.tensors)} for s in sketches]
    by_name = {t.name: t for t in rows[0] if t in rows[1]}
    sketched = [i for i, n in enumerate(names) if n in by_name and n in digests[0] and n in digests[1]]
    tensors = [by_name[names[i]] for i in sketched]
    return _Plan(
        layers=np.array(numbers, int),
        integer=np.array([is_integer(str(d[0])) for d in described], bool),
        sketched=np.array(sketched, int),
        rows=(np.array([rows[0][t] for t in tensors], int), np.array([rows[1][t] for t in tensors], int)),
        elements=np.array([t.elements for t in tensors], float),
        parts=max((t.parts for t in tensors), default=1),
    )


def _by_layer(by_tensor: _TensorDistances, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the relative distance of each layer, and whether it is exact.

    It is the larger of the distances of a layer's integer weights and of all others.
    """
    values, present, plan = np.zeros(count), np.zeros(count, bool), by_tensor.plan
    with np.errstate(all="ignore"):
        for group in (~plan.integer, plan.integer):
            layers = plan.layers[group]
            squares = np.bincount(layers, np.square(by_tensor.distance[group]), count)
            of = np.bincount(layers, np.square(by_tensor.norms[0, group]), count)
            # A layer of zeros has no size of its own: use the second run's.
            of = np.where(of > 0, of, np.bincount(layers, np.square(by_tensor.norms[1, group]), count))
            values = np.maximum(values, np.where(squares == 0, 0.0, np.sqrt(squares / of)))
            present |= np.bincount(layers, minlength=count) > 0
    values = np.where(present, values, np.nan)
    exact = ~np.isnan(values)
    np.logical_and.at(exact, plan.layers, by_tensor.exact)
    return values, exact
