"""Turn distances into the cells of a heat map: group them until they fit, sort them into classes, draw them.

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

IDENTICAL = "identical, bit for bit"
UNKNOWN = "distance unknown"


@dataclass(frozen=True, kw_only=True)
class Cells:
    """The cells of a heat map.

    Attributes:
        values: float64 `(rows, columns)`: relative distances; 0 for identical bits, NaN if unknown. A cell of
            several layers or epochs has the largest; NaN if one is unknown and all others are identical.
        exact: bool of the same shape: whether the distance is exact, and not an estimate.
        layers_in_row: the number of layers in a row; the last row may have fewer.
        epochs_in_column: the number of epochs in a column.
    """

    values: Any
    exact: Any
    layers_in_row: int
    epochs_in_column: int


def cells_of(values: Any, exact: Any) -> Cells:
    """Group neighbouring layers and epochs until there are no more than can be seen.

    Args:
        values: float64 array `(layers, epochs)`.
        exact: bool array of the same shape.
    """
    values, exact = np.asarray(values, "f8"), np.asarray(exact, bool)
    # No distance is negative, and an estimate of 0 does not mean identical bits.
    values = np.where((values < 0) | ((values == 0) & ~exact), np.nan, values)
    layers, epochs = values.shape
    rows, columns = (max(1, math.ceil(n / m)) for n, m in ((layers, MOST_ROWS), (epochs, MOST_COLUMNS)))
    for axis, size in ((0, rows), (1, columns)):
        if size > 1:
            values, exact = _grouped(values, exact, axis, size)
    return Cells(values=values, exact=exact, layers_in_row=rows, epochs_in_column=columns)


def class_of(value: float) -> int | None:
    """Return the class of a relative distance: 0 identical, 1 to 9 by decades, None if it is unknown."""
    number = int(_classes(value))
    return None if number < 0 else number


def class_in_words(number: int | None) -> str:
    """Return the range of a class in words: `"1 part in 10 million to 1 part in 1 million"`."""
    if number is None:
        return UNKNOWN
    if number == 0:
        return IDENTICAL
    if number == 1:
        return f"less than {_part(-7)}: rounding"
    if number == len(BOUNDS):
        return f"{_part(-1)} or more"
    if number > len(BOUNDS):
        return "as much as the weights themselves, or more"
    return f"{_part(number - 9)} to {_part(number - 8)}"


def paths(values: Any) -> dict[int, str]:
    """Return the SVG path of each class; a cell is one unit wide and high, neighbours share a stroke."""
    classes = _classes(values)
    rows, columns = classes.shape
    change = np.ones((rows, columns), bool)
    change[:, 1:] = classes[:, 1:] != classes[:, :-1]
    starts = np.flatnonzero(change)
    lengths = np.diff(np.append(starts, classes.size))
    stroke_classes = classes.reshape(-1)[starts]
    result = {}
    for number in sorted(set(stroke_classes.tolist()) - {-1}):
        chosen = stroke_classes == number
        y, x = np.divmod(starts[chosen], columns)
        result[number] = _strokes(x.tolist(), y.tolist(), lengths[chosen].tolist())
    return result


def packed(cells: Cells) -> str:
    """Return the values for the page's script: little-endian float32 in base64, estimates negative."""
    limits = np.finfo("f4")
    # A distance too small for float32 must not become 0, nor one too large infinite.
    within = np.clip(cells.values, limits.tiny, limits.max)
    values = np.where(np.isfinite(cells.values) & (cells.values > 0), within, cells.values)
    values = np.where(cells.exact, values, -values).astype("<f4")
    return base64.b64encode(values.tobytes()).decode()


def group_name(names: Sequence[str], index: int, size: int) -> str:
    """Return the name of a row or column: one name, or the first and the last."""
    group = names[index * size : (index + 1) * size]
    return group[0] if len(group) == 1 else f"{group[0]} to {group[-1]}"


def _grouped(values: Any, exact: Any, axis: int, size: int) -> tuple[Any, Any]:
    missing = -values.shape[axis] % size
    padding = [(0, missing) if a == axis else (0, 0) for a in (0, 1)]
    shape = [*values.shape]
    shape[axis : axis + 1] = [(values.shape[axis] + missing) // size, size]
    padded = np.pad(values, padding, constant_values=-1).reshape(shape)
    known = np.where(np.isnan(padded), -0.5, padded)
    position = np.expand_dims(known.argmax(axis + 1), axis + 1)
    largest = np.take_along_axis(known, position, axis + 1).squeeze(axis + 1)
    unknown = np.isnan(padded).any(axis + 1) & (largest <= 0)
    padded_exact = np.pad(exact, padding, constant_values=True).reshape(shape)
    exact_at_largest = np.take_along_axis(padded_exact, position, axis + 1).squeeze(axis + 1)
    return np.where(unknown, np.nan, largest), exact_at_largest


def _classes(values: Any) -> Any:
    """Return the class of each distance, -1 if it is unknown."""
    values = np.asarray(values, "f8")
    classes = np.where(values == 0, 0, np.digitize(values, BOUNDS) + 1)
    return np.where(np.isnan(values), -1, classes)


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
