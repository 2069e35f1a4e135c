"""Measure in alternating pairs; print a table of medians and spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Pairs:
    """Measurements of a base and of a variant, pair by pair.

    Attributes:
        name: name of the variant.
        base: seconds of the base.
        other: seconds of the variant.
    """

    name: str
    base: tuple[float, ...]
    other: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Return `other / base` of each pair."""
        return [o / b for b, o in zip(self.base, self.other, strict=True)]

    def row(self) -> str:
        """Return one line of the table: medians, the median ratio, and its middle half."""
        ratios = sorted(self.ratios)
        low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        base, other = statistics.median(self.base), statistics.median(self.other)
        numbers = f"{base * 1e3:12.3f} {other * 1e3:12.3f} {middle:8.4f}   {low:.4f}-{high:.4f}"
        return f"{self.name:<44} {numbers} {len(ratios):6d}"


def alternate(name: str, base: Callable[[], float], other: Callable[[], float], *, pairs: int) -> Pairs:
    """Measure both alternately, each first in every other pair. The functions return seconds."""
    measured: list[tuple[float, float]] = []
    for number in range(pairs):
        if number % 2:
            second, first = other(), base()
        else:
            first, second = base(), other()
        measured.append((first, second))
    return Pairs(name, tuple(m[0] for m in measured), tuple(m[1] for m in measured))


def print_table(rows: Sequence[Pairs]) -> None:
    """Print the table."""
    print(f"{'':<44} {'base ms':>12} {'with ms':>12} {'ratio':>8}   {'middle half':<13} {'pairs':>6}")
    for row in rows:
        print(row.row())


def epoch_clock() -> Any:
    """Return a callback whose `times` hold the start of each epoch; resumable runs accept it."""
    import keras

    class EpochClock(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.times: list[float] = []

        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            self.times.append(time.perf_counter())

        def get_state(self) -> dict[str, object]:
            return {}

        def set_state(self, state: object) -> None:
            pass

    return EpochClock()
