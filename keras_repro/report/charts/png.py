"""The picture of two runs as a PNG by matplotlib: distances of layers by epochs, and the loss of both.

>>> from keras_repro.comparison.compare import compare
>>> write_png("out.png", compare("check/run-1", "check/run-2"), None)
>>> Path("out.png").stat().st_size > 1000
True
"""

from __future__ import annotations

import os
import textwrap
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.comparison.result import Comparison
from keras_repro.errors import ReproError
from keras_repro.report.charts.cells import BOUNDS, Cells, cells_of
from keras_repro.report.charts.divergence_marker import Mark, place_of
from keras_repro.report.charts.epoch_axis import EpochAxis, Tick, axis_of
from keras_repro.report.charts.heat_map import HeatMap, heat_map_of
from keras_repro.report.charts.metric_curves import chosen
from keras_repro.report.run_pair import RunPair, read_pair
from keras_repro.report.text import short_number, shorten_middle
from keras_repro.utils.text import escape_control_chars

_DOTS = 150  # an inch
_WIDTH = 11.0  # inches
_MOST_CURVES = 2
# As the page has them: viridis from light to dark, and what is no distance.
_COLOURS = ("#c5df3b", "#86d04e", "#4dbf6c", "#26a583", "#228c8d", "#2f6f8e", "#3f4f89", "#482878", "#3a0351")
_SAME, _MARK = "#e9edf1", "#000000"
_RUNS = (("run A", "#e08a00", 5.0, "-"), ("run B", "#0b3d91", 1.6, "--"))


def write_png(
    path: str | os.PathLike[str],
    comparison: Comparison,
    distances: LayerDistances | None,
) -> None:
    """Draws two runs and writes the picture.

    Args:
        path: the file.
        comparison: what `compare` found.
        distances: how far apart they are; None where that is not known at all.

    Raises:
        LedgerError: a ledger cannot be read.
        ReproError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ReproError("a PNG needs matplotlib; install it with: pip install 'keras_repro[plot]'") from None
    pair = read_pair(comparison)
    names = chosen(list(pair.metrics), _MOST_CURVES)
    layout = None
    if distances is not None and distances.values.size:
        layout = heat_map_of(
            distances, place=place_of(comparison.divergence, epochs=distances.epochs, layers=distances.layers)
        )
    heights = [*([4.5] if layout is not None else []), *(1.8 for _ in names)] or [1.0]
    figure = Figure(figsize=(_WIDTH, 1.3 + sum(heights) * 1.15), layout="constrained")
    FigureCanvasAgg(figure)
    axes = list(figure.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0])
    _title(figure, comparison, pair)
    if layout is None and not names:
        axes[0].set_axis_off()
    if layout is not None and distances is not None:
        _draw_heat(figure, axes.pop(0), distances, layout)
    below = axis_of(
        pair.epochs,
        layout.epochs if layout is not None else (),
        group=layout.epochs_in_column if layout is not None else 1,
        parting=layout.parting.x if layout is not None and layout.parting is not None else None,
    )
    for name, axis in zip(names, axes, strict=False):
        _draw_curves(axis, name, pair, below)
    with warnings.catch_warnings():
        # A letter that the font does not have becomes a box: no reason to fail, or to print.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        try:
            figure.savefig(Path(path), dpi=_DOTS, format="png")
        except OSError as error:
            raise ReproError(f"cannot write {path}: {error.strerror}") from None


def _draw_heat(figure: Any, axis: Any, distances: LayerDistances, layout: HeatMap) -> None:
    from matplotlib.colors import BoundaryNorm, ListedColormap

    cells = cells_of(distances.values, distances.exact)
    rows, columns = cells.values.shape
    known = np.where(cells.values > 0, np.clip(cells.values, 1e-8, 10), np.nan)
    same = np.where(cells.values == 0, 1.0, np.nan)
    unknown = np.isnan(cells.values)
    box: Any = (0, columns, rows, 0)
    axis.set_facecolor("white")
    if unknown.any():
        axis.add_patch(_hatched(columns, rows))
    shared = {"aspect": "auto", "interpolation": "nearest", "extent": box}
    axis.imshow(same, cmap=ListedColormap([_SAME]), **shared)
    image = axis.imshow(
        known,
        cmap=ListedColormap(list(_COLOURS)),
        norm=BoundaryNorm([1e-8, *BOUNDS, 10], len(_COLOURS)),
        **shared,
    )
    said = "grey: the same bits" + ("; hatched: not known how far apart" if unknown.any() else "")
    if layout.known:
        bar = figure.colorbar(image, ax=axis, ticks=list(BOUNDS), pad=0.01, fraction=0.03)
        bar.ax.set_yticklabels(["1e-7: rounding", *map(short_number, BOUNDS[1:-1]), "1: unrelated"])
        bar.set_label(f"relative distance; {said}")
    else:
        axis.set_title(said, loc="left", fontsize=9)
    height = layout.height / rows
    axis.set_yticks([label.at / height for label in layout.labels])
    axis.set_yticklabels([_plain(label.text) for label in layout.labels], parse_math=False, fontsize=8)
    _set_ticks(axis, layout.ticks, columns)
    axis.set_xlabel(_grouped(cells))
    if layout.parting is not None:
        _draw_mark(axis, layout.parting)


def _draw_mark(axis: Any, mark: Mark) -> None:
    from matplotlib.patches import Rectangle

    axis.axvline(mark.column, color=_MARK, linestyle="--", linewidth=1.2)
    if mark.row is not None:
        axis.add_patch(Rectangle((mark.column, mark.row), 1, 1, fill=False, edgecolor=_MARK, linewidth=1.8))
    if mark.row is not None and mark.small:
        at = mark.column + 0.5, mark.row + 0.5
        axis.plot(*at, "o", markersize=13, fillstyle="none", color="white", markeredgewidth=3.5)
        axis.plot(*at, "o", markersize=13, fillstyle="none", color=_MARK, markeredgewidth=1.6)
    axis.annotate(
        _plain(mark.words),
        (mark.column, 0),
        xytext=(0, 4),
        textcoords="offset points",
        ha={"start": "left", "end": "right"}.get(mark.align, "center"),
        weight="bold",
        parse_math=False,
        annotation_clip=False,
    )


def _draw_curves(axis: Any, name: str, pair: RunPair, below: EpochAxis) -> None:
    places = np.array(below.places)
    for values, (run, colour, width, style) in zip(pair.metrics[name], _RUNS, strict=True):
        held = np.array([np.nan if v is None or not np.isfinite(v) else v for v in values], float)
        marker = "o" if len(places) < 3 else None
        axis.plot(places, held, style, color=colour, linewidth=width, label=run, marker=marker)
    axis.set_ylabel(shorten_middle(escape_control_chars(name), 20), parse_math=False)
    axis.set_xlim(0, below.width)
    _set_ticks(axis, below.ticks, below.width)
    if below.parting is not None:
        axis.axvline(below.parting * below.width / 100, color=_MARK, linestyle="--", linewidth=1.2)
    axis.legend(loc="best", frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _title(figure: Any, comparison: Comparison, pair: RunPair) -> None:
    lines = _wrapped(pair.in_words(str(comparison)))
    for letter, run in zip("AB", comparison.runs, strict=False):
        lines += _wrapped(f"run {letter}: {run['fingerprint']}, {run['status']}")
    if comparison.grade is not None:
        lines += _wrapped(f"grade {comparison.grade.name}: {comparison.grade.reason}")
    figure.suptitle("\n".join(lines), fontsize=9, parse_math=False, ha="left", x=0.01)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(escape_control_chars(text), 130, max_lines=3, placeholder=" ...")


def _set_ticks(axis: Any, ticks: Sequence[Tick], width: int) -> None:
    axis.set_xticks([tick.at * width / 100 for tick in ticks])
    axis.set_xticklabels([_plain(tick.text) for tick in ticks], parse_math=False)


def _hatched(columns: int, rows: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle(
        (0, 0), columns, rows, facecolor="white", edgecolor="#8b949e", hatch="////", linewidth=0, zorder=-1
    )


def _grouped(cells: Cells) -> str:
    each = [
        f"{count} {what} in a {where}"
        for count, what, where in (
            (cells.layers_in_row, "layers", "row"),
            (cells.epochs_in_column, "epochs", "column"),
        )
        if count > 1
    ]
    return f"epoch ({', '.join(each)}: the largest distance)" if each else "epoch"


def _plain(text: str) -> str:
    return shorten_middle(escape_control_chars(text), 40)
