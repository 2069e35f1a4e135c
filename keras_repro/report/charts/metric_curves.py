"""Draw a metric of two runs over their epochs: two curves, and their difference in words.

>>> chart = chart_of("loss", (0.5, 0.25), (0.5, 0.75), epochs=("epoch 1", "epoch 2"), places=(0.5, 1.5))
>>> chart.curves
('M0.5 50.0L1.5 96.0', 'M0.5 50.0L1.5 4.0')
>>> chart.words
('The curves differ from epoch 2 on, at 1 of 2 epochs, by 0.5 at most (epoch 2).',)
"""

from __future__ import annotations

import itertools
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from keras_repro.report.charts.epoch_axis import Tick
from keras_repro.report.run_pair import Series
from keras_repro.report.text import counted, short_number

_TOP, _BOTTOM = 4.0, 96.0  # Of a height of 100: a line at the edge would lose half its width.
_MOST_POINTS = 800
_DECADES = 50.0
_LARGEST = sys.float_info.max

_FIRST = ("loss", "val_loss", "accuracy", "val_accuracy")


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One metric, ready to be drawn.

    Attributes:
        name: the metric's name.
        curves: an SVG path per run; x from `places`, y from 0 (top) to 100.
        ticks: of the vertical axis, from 0 (top) to 100.
        logarithmic: whether the scale is logarithmic.
        words: sentences on the differences, which may be too small to see.
    """

    name: str
    curves: tuple[str, str]
    ticks: tuple[Tick, ...]
    logarithmic: bool
    words: tuple[str, ...]


def chosen_metrics(names: Sequence[str], most: int) -> list[str]:
    """Return the metrics that get a chart: losses before others, in the order in which Keras reports them."""
    return sorted(names, key=_rank)[:most]


def chart_of(name: str, a: Series, b: Series, *, epochs: Sequence[str], places: Sequence[float]) -> Chart:
    """Draw a metric.

    Args:
        name: its name.
        a: the first run's value at each epoch; None if it has none.
        b: the second run's values.
        epochs: the epochs' names.
        places: the horizontal position of each epoch.
    """
    finite = [v for v in (*a, *b) if v is not None and math.isfinite(v)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    logarithmic = low > 0 and high / low >= _DECADES
    if low == high:
        low, high = max(-_LARGEST, low - (abs(low) / 10 or 1)), min(_LARGEST, high + (abs(high) / 10 or 1))
    scale = _Scale(low=low, high=high, logarithmic=logarithmic)
    return Chart(
        name=name,
        curves=(_path(a, places, scale), _path(b, places, scale)),
        ticks=scale.ticks(),
        logarithmic=logarithmic,
        words=tuple(_sentences(a, b, epochs)),
    )


@dataclass(frozen=True, kw_only=True)
class _Scale:
    low: float
    high: float
    logarithmic: bool

    def __call__(self, value: float) -> float:
        low, high, value = (math.log10(v) if self.logarithmic else v for v in (self.low, self.high, value))
        # Halved, so that the span of the largest floats does not overflow.
        span = high / 2 - low / 2
        share = (value / 2 - low / 2) / span if span else float(value > low)
        return _BOTTOM - (_BOTTOM - _TOP) * share

    def ticks(self) -> tuple[Tick, ...]:
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            step = max(1, math.ceil((last - first + 1) / 4))
            values = [10.0**e for e in range(first, last + 1, step)]
        else:
            values = _round_values(self.low, self.high)
        gap = min((abs(b - a) for a, b in itertools.pairwise(values)), default=1.0)
        # Enough digits to distinguish neighbouring ticks.
        size = max(map(abs, values))
        digits = 1 + math.ceil(math.log10(size / gap)) if 0 < gap < size and not self.logarithmic else 0
        return tuple(
            Tick(at=round(self(v), 2), text=short_number(v, min(15, max(6, digits)))) for v in values
        )


def _round_values(low: float, high: float) -> list[float]:
    """Return three to six round values between two."""
    span = high - low
    if not math.isfinite(span) or span < 1e-300:
        return [low, high]
    step = 10.0 ** math.floor(math.log10(span / 3))
    step *= next(f for f in (5, 2, 1) if span / (step * f) >= 2 or f == 1)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)] if last - first < 20 else [low, high]


def _path(values: Series, places: Sequence[float], scale: _Scale) -> str:
    """Return an SVG path; a point between two gaps is a line of length 0, which is drawn as a dot."""
    parts = []
    for is_finite, points in itertools.groupby(_thinned(values, places), key=lambda p: _is_finite(p[1])):
        if is_finite:
            texts = [f"{place:.6g} {scale(value or 0.0):.1f}" for place, value in points]
            parts.append("M" + "L".join(texts) + ("h0" if len(texts) == 1 else ""))
    return "".join(parts)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _thinned(values: Series, places: Sequence[float]) -> list[tuple[float, float | None]]:
    """Return the values, or, of many, the smallest and largest of each stretch, so that no peak is lost."""
    points = list(zip(places, values, strict=True))
    if len(points) <= _MOST_POINTS:
        return points
    size = math.ceil(len(points) * 2 / _MOST_POINTS)
    kept: list[tuple[float, float | None]] = []
    for start in range(0, len(points), size):
        stretch = points[start : start + size]
        finite = sorted((value, place) for place, value in stretch if _is_finite(value))
        if len(finite) < len(stretch):
            kept.append((stretch[0][0], None))
        kept += sorted({(place, value) for value, place in (*finite[:1], *finite[-1:])})
    return kept


def _sentences(a: Series, b: Series, epochs: Sequence[str]) -> Iterator[str]:
    """Yield sentences on differences, values that are no numbers, and missing values."""
    yield _difference([(e, x, y) for e, x, y in zip(epochs, a, b, strict=True) if None not in (x, y)])
    for run, values in (("A", a), ("B", b)):
        odd = [i for i, v in enumerate(values) if v is not None and not math.isfinite(v)]
        if odd:
            kind = "infinite" if math.isinf(values[odd[0]] or 0) else "not a number (NaN)"
            yield f"Run {run}: {kind} from {epochs[odd[0]]} on, {counted(len(odd), 'epoch')} left out."
    for run, values, others in (("A", a, b), ("B", b, a)):
        gaps = [i for i, (x, y) in enumerate(zip(values, others, strict=True)) if x is None and y is not None]
        if gaps:
            count = counted(len(gaps), "epoch")
            yield f"Run {run} has no value at {count}, first at {epochs[gaps[0]]}."


def _difference(points: Sequence[tuple[str, Any, Any]]) -> str:
    """Return a sentence on the epochs at which both runs have a value."""
    if not points:
        return "No epoch has a value in both runs."
    count = counted(len(points), "epoch")
    differing = [(e, x, y) for e, x, y in points if x != y and not (math.isnan(x) and math.isnan(y))]
    if not differing:
        return f"Identical in both runs, bit for bit, at {count}."
    gaps = [(abs(x - y), e) for e, x, y in differing if math.isfinite(x - y)]
    largest, epoch = max(gaps, key=lambda g: g[0], default=(0.0, ""))
    by = f", by {short_number(largest)} at most ({epoch})" if gaps else ""
    return f"The curves differ from {differing[0][0]} on, at {len(differing):,} of {count}{by}."


def _rank(name: str) -> int:
    if name in _FIRST:
        return _FIRST.index(name)
    return len(_FIRST) + (not name.endswith("loss"))
