"""The cell of the map at which two runs diverge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keras_repro.comparison.divergence import Divergence
from keras_repro.report.charts.cells import cells_of
from keras_repro.report.charts.divergence_marker import Mark, mark_of

ONE_FIT = ["start", *(f"epoch {n}" for n in range(1, 13)), "end"]
FITS = [f"fit {f}, {e}" for f in (1, 2) for e in ("start", "epoch 1", "epoch 2")]
LAYERS = ["layers/1", "layers/10", "layers/1/cell", "embed"]


def mark(epochs: list[str], layers: list[str] = LAYERS, **fields: Any) -> Mark | None:
    values = np.zeros((len(layers), len(epochs)))
    cells = cells_of(values, values == 0)
    divergence = Divergence(**({"kind": "epoch", "fit": 0} | fields))
    return mark_of(divergence, cells, epochs=epochs, layers=layers, row_height=4)


def cell(epochs: list[str], **fields: Any) -> tuple[int | None, int] | None:
    found = mark(epochs, **fields)
    return None if found is None else (found.row, found.column)


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
    assert cell(ONE_FIT, **fields) == (None, column)


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
    assert cell(FITS, **fields) == (None, column)


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
    assert cell(ONE_FIT, epoch=0, tensor=tensor) == (row, 1)


def test_no_divergence_has_no_cell() -> None:
    cells = cells_of(np.zeros((4, 14)), np.ones((4, 14), bool))
    assert mark_of(None, cells, epochs=ONE_FIT, layers=LAYERS, row_height=4) is None


def test_mark_is_on_its_group() -> None:
    # 5 layers and 3 epochs a cell
    epochs, layers = ["start", *(f"epoch {n}" for n in range(1, 1000))], [f"layers/{n}" for n in range(1000)]
    one = mark(epochs, layers, epoch=499, tensor="layers/999/kernel")
    assert one is not None
    assert (one.row, one.column, one.y, one.height) == (199, 166, 796, 4)
    assert one.x == pytest.approx(100 * 166 / 334, abs=1e-3)
    assert (one.words, one.align, one.small) == ("diverged: epoch 500", "middle", True)
    whole = mark(epochs, layers, kind="start")
    assert whole is not None
    assert (whole.row, whole.y, whole.height, whole.align) == (None, 0, 800, "start")
