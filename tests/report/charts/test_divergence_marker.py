"""The cell of the map at which two runs diverge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keras_repro.comparison.divergence import Divergence
from keras_repro.report.charts.cells import cells_of
from keras_repro.report.charts.divergence_marker import GridCell, diverging_cell, marker_for

ONE_FIT = ["start", *(f"epoch {n}" for n in range(1, 13)), "end"]
FITS = [f"fit {f}, {e}" for f in (1, 2) for e in ("start", "epoch 1", "epoch 2")]
LAYERS = ["layers/1", "layers/10", "layers/1/cell", "embed"]


def cell(epochs: list[str], **fields: Any) -> GridCell | None:
    return diverging_cell(Divergence(**({"kind": "epoch", "fit": 0} | fields)), epochs=epochs, layers=LAYERS)


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"kind": "start"}, 0),
        ({"kind": "birth"}, 0),
        ({"epoch": 0}, 1),
        ({"epoch": 11}, 12),
        ({"kind": "end"}, 13),
    ],
)
def test_column_is_the_epoch_of_one_fit(fields: dict[str, Any], column: int) -> None:
    assert cell(ONE_FIT, **fields) == GridCell(row=None, column=column)


@pytest.mark.parametrize(
    ("fields", "column"),
    [
        ({"kind": "start"}, 0),
        ({"epoch": 1}, 2),
        ({"kind": "start", "fit": 1}, 3),
        ({"epoch": 1, "fit": 1}, 5),
    ],
)
def test_column_is_the_epoch_of_its_fit(fields: dict[str, Any], column: int) -> None:
    assert cell(FITS, **fields) == GridCell(row=None, column=column)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "evaluation", "fit": None, "index": 0},
        {"kind": "exit", "fit": None},
        {"epoch": 12},
        {"epoch": None},
        {"epoch": 0, "fit": 1},
    ],
)
def test_divergence_outside_the_map_has_no_cell(fields: dict[str, Any]) -> None:
    epochs = ONE_FIT[:4] if fields.get("fit") == 0 else []
    assert cell(epochs, **fields) is None


@pytest.mark.parametrize(
    ("tensor", "row"),
    [
        ("layers/1/kernel", 0),
        ("layers/10/kernel", 1),
        ("layers/1/cell/kernel", 2),
        ("embed", 3),
        ("layers/100/kernel", None),
        ("optimizer/momentums/layers/1/kernel", None),
        (None, None),
    ],
)
def test_row_is_the_innermost_layer_of_the_tensor(tensor: str | None, row: int | None) -> None:
    assert cell(ONE_FIT, epoch=0, tensor=tensor) == GridCell(row=row, column=1)


def test_no_divergence_has_no_cell() -> None:
    assert diverging_cell(None, epochs=ONE_FIT, layers=LAYERS) is None


def test_mark_is_on_its_group() -> None:
    values = np.zeros((1000, 1000))
    cells = cells_of(values, values == 0)  # 5 layers and 3 epochs a cell
    mark = marker_for(GridCell(row=999, column=500), cells, row=4, epoch="epoch 500")
    assert (mark.row, mark.column, mark.y, mark.height) == (199, 166, 796, 4)
    assert mark.x == pytest.approx(100 * 166 / 334, abs=1e-3)
    assert (mark.words, mark.align, mark.small) == ("diverged: epoch 500", "middle", True)
    whole = marker_for(GridCell(row=None, column=0), cells, row=4, epoch="start")
    assert (whole.row, whole.y, whole.height, whole.align) == (None, 0, 800, "start")
