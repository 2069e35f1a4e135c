"""The table beside a heat map: from which epoch on each layer differs, and how far.

>>> import numpy as np
>>> values = np.array([[0.0, 3e-7], [0.0, 0.0]])
>>> [line] = layer_table(values, ["layers/0", "layers/1"], ["dense", "dense_1"], ["start", "epoch 1"])
>>> line.title, line.first, line.at_first
('dense', 'epoch 1', '3e-7')
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_repro.report.text import short_number


@dataclass(frozen=True, kw_only=True)
class LayerFacts:
    """What the table says of a row: from where on it differs, and how far."""

    name: str
    title: str
    first: str
    at_first: str
    largest: str
    at_end: str


def layer_table(
    values: Any, names: Sequence[str], titles: Sequence[str], epochs: Sequence[str]
) -> tuple[LayerFacts, ...]:
    """The rows that differ anywhere, in the order in which they part.

    Args:
        values: float64 `(rows, columns)`: relative distances.
        names: of the rows.
        titles: of the rows, for people.
        epochs: names of the columns.
    """
    differ = values != 0
    first = differ.argmax(1)
    order = sorted(np.flatnonzero(differ.any(1)).tolist(), key=lambda i: (first[i], i))
    largest = np.where(np.isnan(values), -1, values).max(1)
    largest = np.where((largest <= 0) & np.isnan(values).any(1), np.nan, largest)
    return tuple(
        LayerFacts(
            name=names[i],
            title=titles[i],
            first=epochs[first[i]],
            at_first=_number(values[i, first[i]]),
            largest=_number(largest[i]),
            at_end=_number(values[i, -1]),
        )
        for i in order
    )


def never_in_words(number: int, of: int) -> str:
    """A sentence on the rows that do not differ anywhere, empty where there are none."""
    what = f"{number:,} of the {of:,} rows"
    if number == of:
        what = "Every layer" if of > 1 else "The layer"
    return (
        f"{what} {'is' if number in (1, of) else 'are'} the same, bit for bit, at every epoch."
        if number
        else ""
    )


def _number(value: float) -> str:
    """A distance for a table."""
    if math.isnan(value):
        return "not known"
    return "0 (the same bits)" if value == 0 else short_number(value)
