"""Mark the divergence of two runs on a heat map.

>>> import numpy as np
>>> from keras_repro.report.charts.cells import cells_of
>>> cells = cells_of(np.zeros((2, 3)), np.ones((2, 3), bool))
>>> divergence = Divergence(kind="epoch", fit=0, epoch=1, section="weights", tensor="layers/1/kernel")
>>> epochs = ["start", "epoch 1", "epoch 2"]
>>> mark = mark_of(divergence, cells, epochs=epochs, layers=["layers/0", "layers/1"], row_height=30)
>>> mark.row, mark.column, mark.words
(1, 2, 'diverged: epoch 2')
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keras_repro.comparison.divergence import Divergence
from keras_repro.ledger.position_text import column_label
from keras_repro.report.charts.cells import Cells

_SMALL, _SMALL_COLUMNS = 22, 40


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The mark on a cell, or on a column if no layer is known.

    Attributes:
        row: the row of the map, or None.
        column: the column of the map.
        x: the left edge, in per cent of the width.
        width: in per cent of the width.
        y: the upper edge, in pixels.
        height: in pixels.
        words: the text of the mark.
        align: the alignment of the text, such as `"start"`.
        small: whether the cell is so small that it needs a circle around it.
    """

    row: int | None
    column: int
    x: float
    width: float
    y: float
    height: float
    words: str
    align: str
    small: bool


def mark_of(
    divergence: Divergence | None,
    cells: Cells,
    *,
    epochs: Sequence[str],
    layers: Sequence[str],
    row_height: int,
) -> Mark | None:
    """Return the mark of the cell in which two runs diverge; None if no epoch holds it, as in an evaluation.

    Args:
        divergence: the divergence; None if the runs do not diverge.
        cells: the cells of the map.
        epochs: names of its epochs, before they are grouped.
        layers: structural names of its layers, before they are grouped.
        row_height: the height of a row, in pixels.
    """
    if divergence is None:
        return None
    kind = "start" if divergence.kind in ("fit", "start", "birth") else divergence.kind
    epoch = divergence.epoch if kind == "epoch" else None
    several_fits = any(name.startswith("fit ") for name in epochs)
    label = column_label(kind, divergence.fit or 0, epoch, several_fits=several_fits)
    if kind not in ("start", "epoch", "end") or label not in epochs:
        return None
    rows, columns = cells.values.shape
    layer = _innermost_layer(divergence.tensor, layers)
    row = None if layer is None else layer // cells.layers_in_row
    column = epochs.index(label) // cells.epochs_in_column
    x = 100 * column / columns
    return Mark(
        row=row,
        column=column,
        x=round(x, 4),
        width=round(100 / columns, 4),
        y=0 if row is None else row * row_height,
        height=rows * row_height if row is None else row_height,
        words=f"diverged: {label}",
        small=row_height < _SMALL or columns > _SMALL_COLUMNS,
        align="start" if x < 25 else ("end" if x > 75 else "middle"),
    )


def _innermost_layer(tensor: str | None, layers: Sequence[str]) -> int | None:
    """Return the number of the innermost layer that holds the tensor; None if none does."""
    holders = [i for i, name in enumerate(layers) if f"{tensor or ''}/".startswith(f"{name}/")]
    return max(holders, key=lambda i: len(layers[i]), default=None)
