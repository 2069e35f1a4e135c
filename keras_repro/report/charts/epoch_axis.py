"""The axis of epochs that a heat map and the curves below it share: places, ticks, and where fits begin.

>>> [tick.text for tick in ticks_of(["start", *(f"epoch {n}" for n in range(1, 101))], group=1)]
['start', '20', '40', '60', '80', '100']

Places on a page are per cent of the width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

MANY_COLUMNS = 16  # from here on a cell has no room for text

_MOST_TICKS = 7


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A text below the axis: its place, and how it is aligned there."""

    at: float
    text: str
    align: str = "middle"


@dataclass(frozen=True, kw_only=True)
class EpochAxis:
    """What curves need to stand above their epochs.

    Attributes:
        places: of each epoch that the curves have, from 0 to `width`.
        width: how many epochs fit side by side.
        ticks: what is written below.
        parting: where the runs part, in per cent; None where that is not on the axis.
    """

    places: tuple[float, ...]
    width: int
    ticks: tuple[Tick, ...]
    parting: float | None


def axis_of(
    epochs: Sequence[str],
    columns: Sequence[str],
    *,
    group: int = 1,
    parting: float | None = None,
) -> EpochAxis:
    """The axis of curves, below a heat map where its columns hold all of their epochs.

    Args:
        epochs: names of the curves' epochs.
        columns: names of the map's epochs; empty where there is none.
        group: how many epochs share a column.
        parting: where the runs part in the map, in per cent.
    """
    at = {name: i + 0.5 for i, name in enumerate(columns)}
    if not all(name in at for name in epochs) or not columns:
        at = {name: i + 0.5 for i, name in enumerate(epochs)}
        columns, group, parting = epochs, 1, None
    return EpochAxis(
        places=tuple(at[name] for name in epochs),
        width=max(1, math.ceil(len(columns) / group) * group),
        ticks=ticks_of(columns, group=group),
        parting=parting,
    )


def ticks_of(epochs: Sequence[str], *, group: int) -> tuple[Tick, ...]:
    """The texts below an axis: round numbers of epochs, or where fits begin.

    Args:
        epochs: names of all epochs.
        group: how many of them share a column.
    """
    if not epochs:
        return ()
    columns = math.ceil(len(epochs) / group)
    begins = _fits_begin(epochs)
    if len(begins) > 1:
        step = math.ceil(len(begins) / _MOST_TICKS)
        return tuple(
            Tick(at=100 * i / group / columns, text=epochs[i].rpartition(",")[0], align="start")
            for i in begins[::step]
        )
    chosen = range(len(epochs)) if columns <= MANY_COLUMNS else _round_numbers(epochs)
    last = len(epochs) - 1
    return tuple(
        Tick(
            at=100 * (i // group + 0.5) / columns,
            text=epochs[i].removeprefix("epoch "),
            align="middle" if columns <= MANY_COLUMNS else {0: "start", last: "end"}.get(i, "middle"),
        )
        for i in chosen
    )


def borders_of(epochs: Sequence[str], *, group: int) -> tuple[float, ...]:
    """Where all fits but the first begin, in per cent."""
    columns = math.ceil(len(epochs) / group)
    return tuple(100 * (i // group) / columns for i in _fits_begin(epochs)[1:])


def _fits_begin(epochs: Sequence[str]) -> list[int]:
    fits = [e.rpartition(",")[0] for e in epochs]
    return [i for i, fit in enumerate(fits) if i == 0 or fit != fits[i - 1]]


def _round_numbers(epochs: Sequence[str]) -> list[int]:
    """The first, and the epochs with round numbers; no more than have room."""
    numbers = [int(n) if (n := e.removeprefix("epoch ")).isdecimal() else 0 for e in epochs]
    steps = (f * 10**e for e in range(1, 19) for f in (1, 2, 5))
    step = next((s for s in steps if sum(n % s == 0 for n in numbers if n) < _MOST_TICKS), 10**19)
    # A tick at once behind the first would lie on it.
    found = [i for i, n in enumerate(numbers) if n and n % step == 0 and i > len(epochs) / 12]
    return [0, *found[:_MOST_TICKS]]
