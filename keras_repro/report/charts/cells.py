"""Distances as a picture's cells: grouped until they fit, sorted into classes, drawn as a few paths.

>>> import numpy as np
>>> cells = cells_of(np.array([[0.0, 3e-7], [0.0, np.nan]]), np.ones((2, 2), bool))
>>> [[class_of(v) for v in row] for row in cells.values]
[[0, 2], [0, None]]
>>> cells.layers_in_row, cells.epochs_in_column
(1, 1)

Relative distances span ten decades: a class is a decade.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MOST_ROWS, MOST_COLUMNS = 200, 400

# Upper bounds of all classes but the last.
BOUNDS = (1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)

SAME = "the same, bit for bit"
UNKNOWN = "not known how far apart"


@dataclass(frozen=True, kw_only=True)
class Cells:
    """What is drawn.

    Attributes:
        values: float64 `(rows, columns)`: relative distances; 0 where the bits are the same, NaN where it is
            not known. Of several layers or epochs in one cell the largest; NaN where one is not known and all
            others are the same.
        exact: bool of the same shape: the distance is no estimate.
        layers_in_row: how many layers a row stands for; the last row may have fewer.
        epochs_in_column: how many epochs a column stands for.
    """

    values: Any
    exact: Any
    layers_in_row: int
    epochs_in_column: int


def cells_of(values: Any, exact: Any) -> Cells:
    """Groups neighbouring layers and epochs until there are no more than can be seen.

    Args:
        values: float64 array `(layers, epochs)`.
        exact: bool array of the same shape.
    """
    values, exact = np.asarray(values, "f8"), np.asarray(exact, bool)
    # No distance is negative, and an estimate of 0 is not the same bits.
    values = np.where((values < 0) | ((values == 0) & ~exact), np.nan, values)
    layers, epochs = values.shape
    rows, columns = (max(1, math.ceil(n / m)) for n, m in ((layers, MOST_ROWS), (epochs, MOST_COLUMNS)))
    for axis, group in ((0, rows), (1, columns)):
        values, exact = _grouped(values, exact, axis, group)
    return Cells(values=values, exact=exact, layers_in_row=rows, epochs_in_column=columns)


def class_of(value: float) -> int | None:
    """The class of a relative distance: 0 the same, 1 to 9 by decades, None where it is not known."""
    found = int(_classes(np.array([[value]]))[0, 0])
    return None if found < 0 else found


def class_in_words(number: int | None) -> str:
    """What a class says: `"1 part in 10 million to 1 part in 1 million"`."""
    if number is None:
        return UNKNOWN
    if number == 0:
        return SAME
    if number == 1:
        return f"less than {_part(-7)}: rounding"
    if number == len(BOUNDS):
        return f"{_part(-1)} or more"
    if number > len(BOUNDS):
        return "as much as the weights themselves, or more"
    return f"{_part(number - 9)} to {_part(number - 8)}"


def paths(values: Any) -> dict[int, str]:
    """For each class the path of its cells, one unit wide and high: runs along a row are one stroke."""
    classes = _classes(values)
    rows, columns = classes.shape
    change = np.ones((rows, columns), bool)
    change[:, 1:] = classes[:, 1:] != classes[:, :-1]
    starts = np.flatnonzero(change)
    lengths = np.diff(np.append(starts, classes.size))
    of = classes.reshape(-1)[starts]
    found = {}
    for number in sorted(set(of.tolist()) - {-1}):
        chosen = of == number
        y, x = np.divmod(starts[chosen], columns)
        found[number] = _strokes(x.tolist(), y.tolist(), lengths[chosen].tolist())
    return found


def packed(cells: Cells) -> str:
    """The values for the script: little-endian float32 in base64, row by row, estimates with a minus sign."""
    limits = np.finfo("f4")
    # A distance below what float32 can hold is no sameness, one above it not infinite.
    within = np.clip(cells.values, limits.tiny, limits.max)
    values = np.where(np.isfinite(cells.values) & (cells.values > 0), within, cells.values)
    values = np.where(cells.exact, values, -values).astype("<f4")
    return base64.b64encode(values.tobytes()).decode()


def group_name(names: Sequence[str], index: int, size: int) -> str:
    """What a row or column stands for: one name, or the first and the last."""
    held = names[index * size : (index + 1) * size]
    return held[0] if len(held) == 1 else f"{held[0]} to {held[-1]}"


def _grouped(values: Any, exact: Any, axis: int, size: int) -> tuple[Any, Any]:
    if size == 1:
        return values, exact
    missing = -values.shape[axis] % size
    padding = [(0, missing) if a == axis else (0, 0) for a in (0, 1)]
    shape = [*values.shape]
    shape[axis : axis + 1] = [(values.shape[axis] + missing) // size, size]
    padded = np.pad(values, padding, constant_values=-1).reshape(shape)
    known = np.where(np.isnan(padded), -0.5, padded)
    where = np.expand_dims(known.argmax(axis + 1), axis + 1)
    largest = np.take_along_axis(known, where, axis + 1).squeeze(axis + 1)
    unknown = np.isnan(padded).any(axis + 1) & (largest <= 0)
    held = np.pad(exact, padding, constant_values=True).reshape(shape)
    at_largest = np.take_along_axis(held, where, axis + 1).squeeze(axis + 1)
    return np.where(unknown, np.nan, largest), at_largest


def _classes(values: Any) -> Any:
    values = np.asarray(values, "f8")
    found = np.digitize(values, BOUNDS) + 1
    found[values == 0] = 0
    found[np.isnan(values)] = -1
    return found


def _strokes(x: list[int], y: list[int], lengths: list[int]) -> str:
    parts: list[str] = []
    at = 0, 0
    for left, top, length in zip(x, y, lengths, strict=True):
        move = f"m{left - at[0]} {top - at[1]}" if parts else f"M{left} {top}.5"
        parts.append(f"{move}h{length}")
        at = left + length, top
    return "".join(parts)


def _part(exponent: int) -> str:
    words = {-7: "10 million", -6: "1 million"}
    return f"1 part in {words.get(exponent) or format(10**-exponent, ',')}"
