"""Lay out the epoch axis that a heat map and the curves below it share: positions, ticks, starts of fits.

>>> [tick.text for tick in ticks_of(["start", *(f"epoch {n}" for n in range(1, 101))], group=1)]
['start', '20', '40', '60', '80', '100']

Positions on a page are in per cent of the width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MANY_COLUMNS = 16  # From here on a cell has no room for text.

_MOST_TICKS = 7


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A text below the axis: its position, and its alignment there."""

    at: float
    text: str
    align: str = "middle"


@dataclass(frozen=True, kw_only=True)
class EpochAxis:
    """The epoch axis of curves.

    Attributes:
        places: the position of each epoch of the curves, from 0 to `width`.
        width: the number of epochs that fit on the axis.
        ticks: the texts below the axis.
        divergence: the position of the divergence, in per cent; None if it is not on the axis.
    """

    places: tuple[float, ...]
    width: int
    ticks: tuple[Tick, ...]
    divergence: float | None


def axis_of(
    epochs: Sequence[str],
    columns: Sequence[str],
    *,
    group: int = 1,
    divergence: float | None = None,
) -> EpochAxis:
    """Return the axis of curves, aligned with the heat map if it has all of their epochs.

    Args:
        epochs: names of the curves' epochs.
        columns: names of the map's epochs; empty without a map.
        group: the number of epochs in a column.
        divergence: the position of the divergence on the map, in per cent.
    """
    if not set(epochs) <= set(columns):
        columns, group, divergence = epochs, 1, None
    position = {name: i + 0.5 for i, name in enumerate(columns)}
    return EpochAxis(
        places=tuple(position[name] for name in epochs),
        width=max(1, math.ceil(len(columns) / group) * group),
        ticks=ticks_of(columns, group=group),
        divergence=divergence,
    )


def ticks_of(epochs: Sequence[str], *, group: int) -> tuple[Tick, ...]:
    """Return the texts below an axis: round numbers of epochs, or the starts of fits if there are several.

    Args:
        epochs: names of all epochs.
        group: the number of epochs in a column.
    """
    if not epochs:
        return ()
    columns = math.ceil(len(epochs) / group)
    starts = _fit_starts(epochs)
    if len(starts) > 1:
        step = math.ceil(len(starts) / _MOST_TICKS)
        return tuple(
            Tick(at=100 * i / group / columns, text=epochs[i].rpartition(",")[0], align="start")
            for i in starts[::step]
        )
    few = columns <= MANY_COLUMNS
    edges = {} if few else {0: "start", len(epochs) - 1: "end"}
    return tuple(
        Tick(
            at=100 * (i // group + 0.5) / columns,
            text=epochs[i].removeprefix("epoch "),
            align=edges.get(i, "middle"),
        )
        for i in (range(len(epochs)) if few else _round_numbers(epochs))
    )


def borders_of(epochs: Sequence[str], *, group: int) -> tuple[float, ...]:
    """Return the starts of all fits but the first, in per cent."""
    columns = math.ceil(len(epochs) / group)
    return tuple(100 * (i // group) / columns for i in _fit_starts(epochs)[1:])


def _fit_starts(epochs: Sequence[str]) -> list[int]:
    fits = [e.rpartition(",")[0] for e in epochs]
    return [i for i, fit in enumerate(fits) if i == 0 or fit != fits[i - 1]]


def _round_numbers(epochs: Sequence[str]) -> list[int]:
    """Return the first epoch, and those with round numbers, no more than there is room for."""
    numbers = [int(n) if (n := e.removeprefix("epoch ")).isdecimal() else 0 for e in epochs]
    steps = (f * 10**e for e in range(1, 19) for f in (1, 2, 5))
    step = next((s for s in steps if sum(n % s == 0 for n in numbers if n) < _MOST_TICKS), 10**19)
    # A tick close to the first one would overlap it.
    chosen = [i for i, n in enumerate(numbers) if n and n % step == 0 and i > len(epochs) / 12]
    return [0, *chosen[:_MOST_TICKS]]
