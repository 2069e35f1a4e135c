"""Lay out a heat map: labels, lines, marks, and the data of the page's script.

>>> import numpy as np
>>> from keras_repro.comparison.distances.layer_distances import LayerDistances
>>> from keras_repro.comparison.divergence import Divergence
>>> values = np.array([[0.0, 3e-7]])
>>> known = LayerDistances(
...     epochs=("start", "epoch 1"), layers=("layers/0",), titles=("dense",), values=values, exact=values < 1
... )
>>> heat_map = heat_map_of(known, Divergence(kind="epoch", fit=0, epoch=0, tensor="layers/0/kernel"))
>>> heat_map.mark.x, heat_map.mark.width, heat_map.mark.words
(50.0, 50.0, 'diverged: epoch 1')

Horizontal positions are in per cent of the width, vertical ones in pixels, so that the map fits any screen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.comparison.divergence import Divergence
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
from keras_repro.report.charts.divergence_marker import Mark, mark_of
from keras_repro.report.charts.epoch_axis import MANY_COLUMNS, EpochAxis, Tick, axis_of, borders_of, ticks_of
from keras_repro.report.charts.layer_table import LayerFacts, layer_table, never_in_words
from keras_repro.report.text import script_json, short_number, shorten_middle
from keras_repro.utils.text import escape_control_chars

_HIGHEST_ROW, _LOWEST_ROW, _HEIGHT = 30, 4, 560  # pixels
_LABEL_HEIGHT = 14
_LONGEST_NAME = 80


@dataclass(frozen=True, kw_only=True)
class Label:
    """The label of a row: its vertical position, its text, and a shorter one."""

    at: float
    text: str
    short: str
    marked: bool


@dataclass(frozen=True, kw_only=True)
class HeatMap:
    """A heat map that is ready to be drawn.

    Attributes:
        cells: the distances.
        rows: the number of rows.
        columns: the number of columns.
        height: in pixels.
        paths: the cells of each class as an SVG path; a cell is one unit wide and high.
        labels: of rows.
        ticks: of columns.
        borders: the starts of further fits.
        texts: texts in cells that have room for them: `(x, y, text, class)` each.
        mark: the mark of the divergence.
        layers: the layers that differ anywhere, in the order in which they diverge.
        never: a sentence on the layers that do not differ.
        known: whether a cell holds a distance that is not 0.
        unknown: whether a cell differs, or was not recorded, by an unknown distance.
        words: sentences on estimates and groups.
        summary: the whole map in a sentence, for screen readers.
        data: the data of the page's script, as JSON.
        epochs: names of all epochs.
    """

    cells: Cells
    rows: int
    columns: int
    height: int
    paths: Mapping[int, str]
    labels: tuple[Label, ...]
    ticks: tuple[Tick, ...]
    borders: tuple[float, ...]
    texts: tuple[tuple[float, float, str, int], ...]
    mark: Mark | None
    layers: tuple[LayerFacts, ...]
    never: str
    known: bool
    unknown: bool
    words: tuple[str, ...]
    summary: str
    data: str
    epochs: tuple[str, ...]


def heat_map_of(distances: LayerDistances | None, divergence: Divergence | None) -> HeatMap | None:
    """Lay out a map; return None if there are no distances.

    Args:
        distances: layers by epochs.
        divergence: the divergence of the runs; None if they do not diverge.
    """
    if distances is None or not distances.values.size:
        return None
    cells = cells_of(distances.values, distances.exact)
    rows, columns = cells.values.shape
    row_height = max(_LOWEST_ROW, min(_HIGHEST_ROW, _HEIGHT // rows))
    epochs = [escape_control_chars(e) for e in distances.epochs]
    names = [shorten_middle(escape_control_chars(n), _LONGEST_NAME) for n in distances.layers]
    titles = _titles(distances)
    row_names = [group_name(names, i, cells.layers_in_row) for i in range(rows)]
    row_titles = [group_name(titles, i, cells.layers_in_row) for i in range(rows)]
    column_names = [group_name(epochs, i, cells.epochs_in_column) for i in range(columns)]
    mark = mark_of(divergence, cells, epochs=epochs, layers=distances.layers, row_height=row_height)
    layers = layer_table(cells.values, row_names, row_titles, column_names)
    return HeatMap(
        cells=cells,
        rows=rows,
        columns=columns,
        height=row_height * rows,
        paths=paths(cells.values),
        labels=_labels(row_titles, row_height, None if mark is None else mark.row),
        ticks=ticks_of(epochs, group=cells.epochs_in_column),
        borders=borders_of(epochs, group=cells.epochs_in_column),
        texts=_texts(cells.values, row_height),
        mark=mark,
        layers=layers,
        never=never_in_words(rows - len(layers), rows),
        known=bool((cells.values > 0).any()),
        unknown=bool(np.isnan(cells.values).any()),
        words=tuple(_explanations(cells, distances)),
        summary=_summary(cells.values, mark, row_titles),
        data=script_json(
            {
                "rows": [[t, n] if t != n else [n] for t, n in zip(row_titles, row_names, strict=True)],
                "columns": column_names,
                "values": packed(cells),
                "bounds": BOUNDS,
                "words": [class_in_words(n) for n in range(len(BOUNDS) + 2)],
                "unknown": class_in_words(None),
                "mark": None if mark is None else [mark.row or 0, mark.column],
            }
        ),
        epochs=tuple(epochs),
    )


def curve_axis(epochs: Sequence[str], heat_map: HeatMap | None) -> EpochAxis:
    """Return the axis of curves below a heat map, or of curves alone.

    Args:
        epochs: names of the curves' epochs.
        heat_map: the map above the curves.
    """
    if heat_map is None:
        return axis_of(epochs, ())
    divergence = None if heat_map.mark is None else heat_map.mark.x
    return axis_of(epochs, heat_map.epochs, group=heat_map.cells.epochs_in_column, divergence=divergence)


def _titles(distances: LayerDistances) -> list[str]:
    """Return a display name of each layer: Keras's if it is unique, else the structural name."""
    counts = Counter(distances.titles)
    return [
        shorten_middle(escape_control_chars(title if title and counts[title] == 1 else name), _LONGEST_NAME)
        for title, name in zip(distances.titles, distances.layers, strict=True)
    ]


def _labels(titles: Sequence[str], row_height: int, marked: int | None) -> tuple[Label, ...]:
    """Return the labels for which there is room, and always that of the marked row."""
    step = math.ceil(_LABEL_HEIGHT / row_height)
    return tuple(
        Label(
            at=(i + 0.5) * row_height,
            text=shorten_middle(title, 24),
            short=shorten_middle(title, 16),
            marked=i == marked,
        )
        for i, title in enumerate(titles)
        if i == marked or (i % step == 0 and (marked is None or abs(i - marked) >= step))
    )


def _texts(values: Any, row_height: int) -> tuple[tuple[float, float, str, int], ...]:
    """Return the decade of each distance, if cells have room for it, so that colours are not needed."""
    rows, columns = values.shape
    if columns > MANY_COLUMNS or row_height < _LABEL_HEIGHT:
        return ()
    return tuple(
        (
            100 * (x + 0.5) / columns,
            (y + 0.5) * row_height,
            _decade(values[y, x]),
            class_of(values[y, x]) or 0,
        )
        for y in range(rows)
        for x in range(columns)
    )


def _decade(value: float) -> str:
    if value == 0:
        return "="
    if not math.isfinite(value):
        return "?" if math.isnan(value) else "\N{INFINITY}"
    return f"{math.floor(math.log10(value)):d}".replace("-", "\N{MINUS SIGN}")


def _explanations(cells: Cells, distances: LayerDistances) -> Iterator[str]:
    if (cells.values[~cells.exact] > 0).any():
        yield (
            "Distances that are not marked as exact are estimated from small sketches of the weights: "
            "within 30% in 95 of 100 cases."
        )
    if cells.layers_in_row > 1:
        yield (
            f"{len(distances.layers):,} layers: each row shows {cells.layers_in_row} neighbouring layers, "
            "by their largest distance."
        )
    if cells.epochs_in_column > 1:
        yield (
            f"{len(distances.epochs):,} epochs: each column shows {cells.epochs_in_column} epochs, "
            "by their largest distance."
        )


def _summary(values: Any, mark: Mark | None, titles: Sequence[str]) -> str:
    rows, columns = values.shape
    text = f"Heat map, {rows} rows of layers by {columns} columns of epochs."
    if mark is not None:
        layer = "" if mark.row is None else f", first in {titles[mark.row]}"
        text += f" The runs {mark.words}{layer}."
    identical = int((values == 0).sum())
    if identical == values.size:
        return f"{text} All cells are identical, bit for bit."
    text += f" {identical:,} of {values.size:,} cells are identical"
    largest = np.where(np.isnan(values), -1, values).max()
    if largest > 0:
        return f"{text}; the largest relative distance is {short_number(largest)}."
    return f"{text}; the other distances are unknown."
