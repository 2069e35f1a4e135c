"""The heat map of a page: where its labels, lines and marks stand, and what its script is told.

>>> import numpy as np
>>> from keras_repro.comparison.distances.layer_distances import LayerDistances
>>> values = np.array([[0.0, 3e-7]])
>>> known = LayerDistances(
...     epochs=("start", "epoch 1"), layers=("layers/0",), titles=("dense",), values=values, exact=values < 1
... )
>>> from keras_repro.report.charts.divergence_marker import GridCell
>>> drawn = heat_map_of(known, place=GridCell(row=0, column=1))
>>> drawn.parting.x, drawn.parting.width, drawn.parting.words
(50.0, 50.0, 'parted: epoch 1')

Horizontal places are per cent of the width, vertical ones pixels, so that it fits any screen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.report.charts.cells import (
    BOUNDS,
    Cells,
    cells_of,
    class_in_words,
    class_of,
    group_name,
    packed,
    paths,
)
from keras_repro.report.charts.divergence_marker import GridCell, Mark, marker_for
from keras_repro.report.charts.epoch_axis import MANY_COLUMNS, Tick, borders_of, ticks_of
from keras_repro.report.charts.layer_table import LayerFacts, layer_table, never_in_words
from keras_repro.report.text import script_json, short_number, shorten_middle
from keras_repro.utils.text import escape_control_chars

_HIGHEST_ROW, _LOWEST_ROW, _HEIGHT = 30, 4, 560  # pixels
_LABEL_HEIGHT = 14
_LONGEST_NAME = 80
_FIRST_LAYERS = 10


@dataclass(frozen=True, kw_only=True)
class Label:
    """A text beside the map: its place, the text, a shorter one, the whole one."""

    at: float
    text: str
    short: str = ""
    whole: str = ""
    marked: bool = False


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """A map that is ready to be drawn.

    Attributes:
        rows: how many there are.
        columns: how many there are.
        height: in pixels.
        paths: by class, the cells that are in it, a cell one unit wide and high.
        labels: of rows.
        ticks: of columns.
        borders: where another fit begins.
        texts: what stands in cells, where they have room: `(x, y, text, class)` each.
        parting: the point of parting.
        layers: the table of those that differ anywhere, in the order in which they part.
        never: a sentence on those that do not.
        first_layers: how many of these are always shown.
        known: how many cells hold a distance that is not 0.
        unknown: how many cells differ, or were not recorded, so that no distance is known.
        words: what is estimated and what is grouped, for people.
        summary: the whole map in a sentence, for those who do not see it.
        data: what the script is told, as JSON.
        epochs_in_column: how many epochs a column stands for.
        epochs: names of all epochs.
    """

    rows: int
    columns: int
    height: int
    paths: Mapping[int, str]
    labels: tuple[Label, ...]
    ticks: tuple[Tick, ...]
    borders: tuple[float, ...]
    texts: tuple[tuple[float, float, str, int], ...]
    parting: Mark | None
    layers: tuple[LayerFacts, ...]
    never: str
    first_layers: int
    known: int
    unknown: int
    words: tuple[str, ...]
    summary: str
    data: str
    epochs_in_column: int
    epochs: tuple[str, ...]


def heat_map_of(distances: LayerDistances, *, place: GridCell | None) -> HeatMap:
    """Lays a map out.

    Args:
        distances: layers by epochs, at least one of each.
        place: where the runs part, None where they do not or no epoch holds it.
    """
    cells = cells_of(distances.values, distances.exact)
    rows, columns = cells.values.shape
    row = max(_LOWEST_ROW, min(_HIGHEST_ROW, _HEIGHT // rows))
    epochs = [escape_control_chars(e) for e in distances.epochs]
    names = [shorten_middle(escape_control_chars(n), _LONGEST_NAME) for n in distances.layers]
    titles = _titles(distances)
    row_names = [group_name(names, i, cells.layers_in_row) for i in range(rows)]
    row_titles = [group_name(titles, i, cells.layers_in_row) for i in range(rows)]
    column_names = [group_name(epochs, i, cells.epochs_in_column) for i in range(columns)]
    mark = None if place is None else marker_for(place, cells, row=row, epoch=epochs[place.column])
    layers = layer_table(cells.values, row_names, row_titles, column_names)
    return HeatMap(
        rows=rows,
        columns=columns,
        height=row * rows,
        paths=paths(cells.values),
        labels=_labels(row_titles, row_names, row, None if mark is None else mark.row),
        ticks=ticks_of(epochs, group=cells.epochs_in_column),
        borders=borders_of(epochs, group=cells.epochs_in_column),
        texts=_texts(cells.values, row),
        parting=mark,
        layers=layers,
        never=never_in_words(rows - len(layers), rows),
        first_layers=_FIRST_LAYERS,
        known=int((cells.values > 0).sum()),
        unknown=int(np.isnan(cells.values).sum()),
        words=tuple(_explained(cells, distances)),
        summary=_summary(cells.values, mark, row_titles, layers),
        data=script_json(
            {
                "rows": [[t, n] if t != n else [n] for t, n in zip(row_titles, row_names, strict=True)],
                "columns": column_names,
                "values": packed(cells),
                "bounds": BOUNDS,
                "words": [class_in_words(n) for n in range(len(BOUNDS) + 2)],
                "unknown": class_in_words(None),
                "parting": None if mark is None else [mark.row or 0, mark.column],
            }
        ),
        epochs_in_column=cells.epochs_in_column,
        epochs=tuple(epochs),
    )


def _titles(distances: LayerDistances) -> list[str]:
    """A name for people of each layer: Keras's, where that is one of its own."""
    counts: dict[str, int] = {}
    for title in distances.titles:
        counts[title] = counts.get(title, 0) + 1
    pairs = zip(distances.titles, distances.layers, strict=True)
    return [
        shorten_middle(escape_control_chars(t if t and counts[t] == 1 else n), _LONGEST_NAME)
        for t, n in pairs
    ]


def _labels(titles: Sequence[str], names: Sequence[str], row: int, marked: int | None) -> tuple[Label, ...]:
    every = math.ceil(_LABEL_HEIGHT / row)
    chosen = [i for i in range(0, len(titles), every) if marked is None or abs(i - marked) >= every]
    chosen += [] if marked is None else [marked]
    return tuple(
        Label(
            at=(i + 0.5) * row,
            text=shorten_middle(titles[i], 24),
            short=shorten_middle(titles[i], 16),
            whole=titles[i] if titles[i] == names[i] else f"{titles[i]} ({names[i]})",
            marked=i == marked,
        )
        for i in sorted(chosen)
    )


def _texts(values: Any, row: int) -> tuple[tuple[float, float, str, int], ...]:
    """The decade of each distance, in cells with room for it: read without colours."""
    rows, columns = values.shape
    if columns > MANY_COLUMNS or row < _LABEL_HEIGHT:
        return ()
    return tuple(
        (100 * (x + 0.5) / columns, (y + 0.5) * row, _short(values[y, x]), class_of(values[y, x]) or 0)
        for y in range(rows)
        for x in range(columns)
    )


def _short(value: float) -> str:
    if value == 0:
        return "="
    if not math.isfinite(value):
        return "?" if math.isnan(value) else "\N{INFINITY}"
    return f"{math.floor(math.log10(value)):d}".replace("-", "\N{MINUS SIGN}")


def _explained(cells: Cells, distances: LayerDistances) -> list[str]:
    found = []
    if (cells.values[~cells.exact] > 0).any():
        found.append(
            "Distances are estimated from small sketches of the weights, within 30% in 95 of 100 cases, "
            "where they are not said to be exact."
        )
    if cells.layers_in_row > 1:
        found.append(
            f"{len(distances.layers):,} layers: each row stands for {cells.layers_in_row} neighbouring ones, "
            "by the largest distance among them."
        )
    if cells.epochs_in_column > 1:
        found.append(
            f"{len(distances.epochs):,} epochs: each column stands for {cells.epochs_in_column} of them, "
            "by the largest distance among them."
        )
    return found


def _summary(values: Any, mark: Mark | None, titles: Sequence[str], layers: Sequence[LayerFacts]) -> str:
    rows, columns = values.shape
    text = f"Heat map, {rows} rows of layers by {columns} columns of epochs."
    if mark is not None:
        where = "" if mark.row is None else f", first in {titles[mark.row]}"
        text += f" The runs {mark.words}{where}."
    same = int((values == 0).sum())
    if same == values.size:
        return f"{text} All cells are the same, bit for bit."
    far = np.where(np.isnan(values), -1, values).max()
    return f"{text} {same:,} of {values.size:,} cells are the same" + (
        f"; the largest relative distance is {short_number(far)}."
        if far > 0
        else "; how far apart the others are is not known."
    )
