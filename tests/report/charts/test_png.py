"""The PNG: the right cell is marked, names are plain text, and nothing is printed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from ledger_builders import BIAS, changed, training, with_fields, write
from matplotlib.colors import to_rgb

from keras_repro.comparison.compare import compare
from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.errors import ReproError
from keras_repro.report.charts.png import write_png

GREEN, GREY = to_rgb("#c5df3b"), to_rgb("#e9edf1")  # the smallest distance, and the same bits


def pair(folder: Path) -> tuple[Path, Path]:
    """Write two runs that diverge at epoch 2 of 3."""
    records = training()
    return write(folder / "a", records), write(
        folder / "b", changed(records, "epoch 0 1", "weights", BIAS, "x")
    )


def known(
    *, layers: int = 4, epochs: int = 3, cell: tuple[int, int] | None = None, titles: Any = None
) -> LayerDistances:
    values = np.zeros((layers, epochs + 1))
    if cell is not None:
        values[cell] = 3e-8
    return LayerDistances(
        epochs=("start", *(f"epoch {n + 1}" for n in range(epochs))),
        layers=tuple(f"layers/{i}" for i in range(layers)),
        titles=titles or tuple(f"d{i}" for i in range(layers)),
        values=values,
        exact=values == 0,
    )


def pixels(path: Path) -> Any:
    return matplotlib.image.imread(path)[..., :3]


def where(image: Any, colour: tuple[float, ...]) -> Any:
    """Return rows and columns of the pixels of a colour."""
    return np.argwhere((np.abs(image - colour) < 0.01).all(-1))


@pytest.mark.parametrize("cell", [(0, 2), (2, 3)])
def test_cell_is_drawn_in_its_row_and_column(tmp_path: Path, cell: tuple[int, int]) -> None:
    a, b = pair(tmp_path)
    write_png(tmp_path / "out.png", compare(a, b), known(cell=cell))
    image = pixels(tmp_path / "out.png")
    grey = where(image, GREY)
    green = where(image, GREEN)
    green = green[green[:, 1] <= grey[:, 1].max() + 1]  # not those of the colours' bar
    (top, left), (bottom, right) = grey.min(0), grey.max(0)
    if cell[1] == 3:
        right = green[:, 1].max()
    row, column = (green.mean(0) - (top, left)) / (bottom - top, right - left) * (4, 4)
    assert (int(row), int(column)) == cell


def test_divergence_is_marked(tmp_path: Path) -> None:
    """A frame surrounds the cell of layer 0 at epoch 2, and nothing else."""
    a, b = pair(tmp_path)
    write_png(tmp_path / "out.png", compare(a, b), known())
    image = pixels(tmp_path / "out.png")
    grey = where(image, GREY)
    (top, left), (bottom, right) = grey.min(0), grey.max(0)
    inside = image[top + 5 : bottom - 5, left + 5 : right - 5]
    black = where(inside, (0.0, 0.0, 0.0))
    rows, columns = (black / inside.shape[:2] * 4).T
    # A dashed line at the epoch's left edge, and the frame's right side and bottom.
    assert np.isclose(columns.min(), 2, atol=0.05)
    assert np.isclose(columns.max(), 3, atol=0.05)
    assert np.isclose(rows[columns > 2.5].max(), 1, atol=0.05)


def test_identical_runs_and_runs_without_distances_are_drawn(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", training()), write(tmp_path / "b", training())
    write_png(tmp_path / "same.png", compare(a, b), known())
    assert len(where(pixels(tmp_path / "same.png"), GREEN)) == 0
    write_png(tmp_path / "none.png", compare(a, b), None)
    assert len(where(pixels(tmp_path / "none.png"), GREY)) == 0


@pytest.mark.parametrize(
    "titles",
    [("$\\frac{", "<script>", "\u202e\x1b[2J", "$$"), ("\u6f22\U0001f600", "x" * 100_000, "", "\ud800")],
)
def test_names_are_plain_text(tmp_path: Path, titles: tuple[str, ...]) -> None:
    """Names are not parsed as formulas, and cause no warning."""
    metrics = {titles[0]: 1.0, "loss": "nan", "huge": 1.7e308}
    records = with_fields(training(), "epoch 0 0", metrics=metrics)
    a = write(tmp_path / "a", records)
    b = write(tmp_path / "b", changed(records, "epoch 0 1", "weights", BIAS, "x"))
    write_png(tmp_path / "out.png", compare(a, b), known(titles=titles, cell=(0, 2)))
    assert pixels(tmp_path / "out.png").shape[1] == 1650


def test_ten_thousand_layers_are_drawn(tmp_path: Path) -> None:
    a, b = pair(tmp_path)
    write_png(tmp_path / "out.png", compare(a, b), known(layers=10_000, cell=(0, 2)))
    assert len(where(pixels(tmp_path / "out.png"), GREEN)) > 0


def test_unwritable_file_is_an_error(tmp_path: Path) -> None:
    a, b = pair(tmp_path)
    with pytest.raises(ReproError, match=r"cannot write .*/nowhere/out.png: No such file or directory"):
        write_png(tmp_path / "nowhere" / "out.png", compare(a, b), known())


@pytest.mark.parametrize(
    ("hide", "code", "message"),
    [
        ("", 1, ""),
        (
            "sys.modules['matplotlib'] = None",
            2,
            "keras-repro: a PNG needs matplotlib; install it with: pip install 'keras_repro[plot]'\n",
        ),
    ],
    ids=["installed", "missing"],
)
def test_command_writes_the_picture(tmp_path: Path, hide: str, code: int, message: str) -> None:
    program = f"import sys\n{hide}\nfrom keras_repro.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    out = tmp_path / "out.png"
    command = [sys.executable, "-c", program, "compare", *map(str, pair(tmp_path)), "--png", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, message)
    assert out.exists() == (code == 1)
