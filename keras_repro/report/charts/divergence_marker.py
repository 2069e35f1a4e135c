"""Mark the divergence of two runs on a heat map.

>>> divergence = Divergence(kind="epoch", fit=0, epoch=1, section="weights", tensor="layers/1/kernel")
>>> diverging_cell(divergence, epochs=["start", "epoch 1", "epoch 2"], layers=["layers/0", "layers/1"])
GridCell(row=1, column=2)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from keras_repro.comparison.divergence import Divergence
from keras_repro.ledger.position_text import column_label
from keras_repro.report.charts.cells import Cells

_SMALL, _SMALL_COLUMNS = 22, 40


@dataclass(frozen=True, kw_only=True)
class GridCell:
    """A layer at an epoch; without a layer, the whole epoch."""

    row: int | None
    column: int


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


def diverging_cell(
    divergence: Divergence | None, *, epochs: Sequence[str], layers: Sequence[str]
) -> GridCell | None:
    """Return the cell in which two runs diverge; None if no epoch of the map holds it, as in an evaluation.

    Args:
        divergence: the divergence; None if the runs do not diverge.
        epochs: names of the map's epochs.
        layers: structural names of its layers.
    """
    if divergence is None:
        return None
    kind = "start" if divergence.kind in ("fit", "start", "birth") else divergence.kind
    epoch = divergence.epoch if kind == "epoch" else None
    several_fits = any(name.startswith("fit ") for name in epochs)
    label = column_label(kind, divergence.fit or 0, epoch, several_fits=several_fits)
    if kind not in ("start", "epoch", "end") or label not in epochs:
        return None
    return GridCell(row=_row_of(divergence.tensor, layers), column=epochs.index(label))


def marker_for(cell: GridCell, cells: Cells, *, row: int, epoch: str) -> Mark:
    """Return the mark of a cell.

    Args:
        cell: the cell, before layers and epochs are grouped.
        cells: the cells of the map.
        row: the height of a row, in pixels.
        epoch: the epoch's name.
    """
    rows, columns = cells.values.shape
    marked_row = None if cell.row is None else cell.row // cells.layers_in_row
    column = cell.column // cells.epochs_in_column
    x = 100 * column / columns
    return Mark(
        row=marked_row,
        column=column,
        x=round(x, 4),
        width=round(100 / columns, 4),
        y=0 if marked_row is None else marked_row * row,
        height=rows * row if marked_row is None else row,
        words=f"diverged: {epoch}",
        small=row < _SMALL or columns > _SMALL_COLUMNS,
        align="start" if x < 25 else ("end" if x > 75 else "middle"),
    )


def _row_of(tensor: str | None, layers: Sequence[str]) -> int | None:
    """Return the innermost layer that holds the tensor."""
    if tensor is None:
        return None
    holders = [i for i, name in enumerate(layers) if f"{tensor}/".startswith(f"{name}/")]
    return max(holders, key=lambda i: len(layers[i]), default=None)
