"""List the layers that differ: from which epoch on, and by how much.

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
    """A line of the table: the first epoch that differs, and distances in words."""

    name: str
    title: str
    first: str
    at_first: str
    largest: str
    at_end: str


def layer_table(
    values: Any, names: Sequence[str], titles: Sequence[str], epochs: Sequence[str]
) -> tuple[LayerFacts, ...]:
    """Return the rows that differ anywhere, in the order in which they diverge.

    Args:
        values: float64 `(rows, columns)`: relative distances.
        names: structural names of the rows.
        titles: display names of the rows.
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
            at_first=_distance(values[i, first[i]]),
            largest=_distance(largest[i]),
            at_end=_distance(values[i, -1]),
        )
        for i in order
    )


def never_in_words(number: int, of: int) -> str:
    """Return a sentence on the rows that do not differ anywhere; empty if there are none."""
    if not number:
        return ""
    rows = f"{number:,} of the {of:,} rows"
    if number == of:
        rows = "Every layer" if of > 1 else "The layer"
    return f"{rows} {'is' if number in (1, of) else 'are'} identical, bit for bit, at every epoch."


def _distance(value: float) -> str:
    if math.isnan(value):
        return "unknown"
    return "0 (identical)" if value == 0 else short_number(value)
