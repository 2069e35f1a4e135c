"""Cells of a heat map: grouping hides no difference, classes are decades, paths and data are exact."""

from __future__ import annotations

import base64
import math
import re

import numpy as np
import pytest

from keras_repro.report.charts.cells import (
    MOST_COLUMNS,
    MOST_ROWS,
    cells_of,
    class_in_words,
    class_of,
    group_name,
    packed,
    paths,
)

NAN = math.nan


def drawn(values: np.ndarray) -> np.ndarray:
    """Return the classes that the paths paint, as a browser reads them; -1 for unpainted cells."""
    classes = np.full(values.shape, -1)
    for number, path in paths(values).items():
        x = y = 0
        for word, first, second in re.findall(r"([Mmh])(-?\d+)(?: (-?\d+)(?:\.5)?)?", path):
            if word == "h":
                assert (classes[y, x : x + int(first)] == -1).all()
                classes[y, x : x + int(first)] = number
                x += int(first)
            else:
                x, y = (0, 0) if word == "M" else (x, y)
                x, y = x + int(first), y + int(second)
    return classes


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (0.0, 0),
        (5e-324, 1),
        (9.9e-8, 1),
        (1e-7, 2),
        (3e-7, 2),
        (0.5, 8),
        (1.0, 9),
        (math.inf, 9),
        (NAN, None),
    ],
)
def test_class_is_a_decade(value: float, number: int | None) -> None:
    assert class_of(value) == number


def test_classes_have_words() -> None:
    assert [class_in_words(n) for n in (None, 0, 1, 2, 3, 7, 8, 9)] == [
        "distance unknown",
        "identical, bit for bit",
        "less than 1 part in 10 million: rounding",
        "1 part in 10 million to 1 part in 1 million",
        "1 part in 1 million to 1 part in 100,000",
        "1 part in 100 to 1 part in 10",
        "1 part in 10 or more",
        "as much as the weights themselves, or more",
    ]


def test_paths_paint_each_cell_once_in_its_class() -> None:
    random = np.random.Generator(np.random.PCG64(1))
    values = 10.0 ** random.uniform(-9, 1, (37, 53))
    values[random.uniform(size=values.shape) < 0.3] = 0
    values[random.uniform(size=values.shape) < 0.1] = NAN
    expected = [[-1 if class_of(v) is None else class_of(v) for v in row] for row in values]
    assert (drawn(values) == expected).all()


def test_equal_neighbours_share_a_stroke() -> None:
    assert paths(np.array([[0.0, 0.0, 1e-5], [1e-5, 0.0, 0.0]])) == {
        0: "M0 0.5h2m-1 1h2",
        4: "M2 0.5h1m-3 1h1",
    }


def test_few_cells_are_not_grouped() -> None:
    values = np.zeros((MOST_ROWS, MOST_COLUMNS))
    cells = cells_of(values, values == 0)
    assert (cells.layers_in_row, cells.epochs_in_column) == (1, 1)
    assert cells.values.shape == values.shape


def test_many_cells_are_grouped_by_the_largest_distance() -> None:
    values = np.zeros((MOST_ROWS + 1, 3 * MOST_COLUMNS - 1))
    values[200, -1], values[1, 4], values[0, 3] = 0.5, 0.25, 0.125
    exact = values == 0
    exact[1, 4] = True
    cells = cells_of(values, exact)
    assert cells.values.shape == cells.exact.shape == (101, 400)
    assert (cells.layers_in_row, cells.epochs_in_column) == (2, 3)
    assert {(y, x): cells.values[y, x] for y, x in np.argwhere(cells.values)} == {
        (0, 1): 0.25,
        (100, 399): 0.5,
    }
    assert cells.exact[0, 1]
    assert not cells.exact[100, 399]


def test_group_with_an_unknown_distance_is_never_identical() -> None:
    values = np.zeros((1, MOST_COLUMNS * 2))
    values[0, [1, 2]] = NAN
    values[0, 3] = 1e-6
    cells = cells_of(values, np.ones_like(values, bool))
    assert math.isnan(cells.values[0, 0])
    assert cells.values[0, 1] == 1e-6
    assert (cells.values[0, 2:] == 0).all()


def test_negative_distances_are_unknown() -> None:
    assert np.isnan(cells_of(np.array([[-1.0]]), np.array([[True]])).values).all()


def test_values_reach_the_script_bit_for_bit() -> None:
    values = np.array([[0.0, 3.25e-7], [NAN, math.inf], [1e-300, 1e300]])
    exact = np.array([[True, False], [False, True], [True, True]])
    read = np.frombuffer(base64.b64decode(packed(cells_of(values, exact))), "<f4")
    assert read[0] == 0
    assert not np.signbit(read[0])
    assert read[1] == np.float32(-3.25e-7)
    assert math.isnan(read[2])
    assert read[3] == math.inf
    assert 0 < read[4] < 1e-37
    assert 1e38 < read[5] < math.inf


def test_groups_are_named_by_first_and_last() -> None:
    names = ["start", "epoch 1", "epoch 2"]
    assert [group_name(names, i, 2) for i in (0, 1)] == ["start to epoch 1", "epoch 2"]
