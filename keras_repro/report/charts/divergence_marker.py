"""Where two runs part on a heat map: which cell that is, and where its mark stands.

>>> parted = Divergence(kind="epoch", fit=0, epoch=6, section="weights", tensor="layers/1/kernel")
>>> place_of(parted, epochs=["start", *(f"epoch {n}" for n in range(1, 13))], layers=["layers/0", "layers/1"])
GridCell(row=1, column=7)
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
    """A cell, by layer and epoch; without a layer, the whole epoch."""

    row: int | None
    column: int


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The point of parting: its cell, or its column where no layer is known; and whether it is small."""

    row: int | None
    column: int
    x: float
    width: float
    y: float
    height: float
    words: str
    align: str
    small: bool


def place_of(
    divergence: Divergence | None, *, epochs: Sequence[str], layers: Sequence[str]
) -> GridCell | None:
    """The cell in which two runs part; None where no epoch of the map holds it, as in an evaluation.

    Args:
        divergence: where they part, None where they do not.
        epochs: names of the map's epochs.
        layers: structural names of its layers.
    """
    if divergence is None:
        return None
    kind = "start" if divergence.kind in ("fit", "start", "birth") else divergence.kind
    if kind not in ("start", "epoch", "end"):
        return None
    epoch = divergence.epoch if kind == "epoch" else None
    several_fits = any(name.startswith("fit ") for name in epochs)
    label = column_label(kind, divergence.fit or 0, epoch, several_fits=several_fits)
    if label not in epochs:
        return None
    return GridCell(row=_row_of(divergence.tensor, layers), column=list(epochs).index(label))


def marker_for(place: GridCell, cells: Cells, *, row: int, epoch: str) -> Mark:
    """Where the mark stands on a map.

    Args:
        place: what is marked.
        cells: of the map.
        row: the height of a row, in pixels.
        epoch: the epoch's name.
    """
    rows, columns = cells.values.shape
    at = None if place.row is None else place.row // cells.layers_in_row
    column = place.column // cells.epochs_in_column
    x = 100 * column / columns
    return Mark(
        row=at,
        column=column,
        x=round(x, 4),
        width=round(100 / columns, 4),
        y=0 if at is None else at * row,
        height=rows * row if at is None else row,
        words=f"parted: {epoch}",
        small=row < _SMALL or columns > _SMALL_COLUMNS,
        align="start" if x < 25 else ("end" if x > 75 else "middle"),
    )


def _row_of(tensor: str | None, layers: Sequence[str]) -> int | None:
    held = [(len(name), i) for i, name in enumerate(layers) if f"{tensor}/".startswith(f"{name}/")]
    return max(held, key=lambda h: (h[0], -h[1]))[1] if held and tensor is not None else None
