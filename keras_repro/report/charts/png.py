"""Draw two runs as a PNG with matplotlib: distances of layers by epochs, and curves of both runs.

>>> from pathlib import Path
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
from typing import IO, Any

import numpy as np

from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.comparison.result import Comparison
from keras_repro.errors import ReproError
from keras_repro.report.charts.cells import BOUNDS, Cells
from keras_repro.report.charts.divergence_marker import Mark
from keras_repro.report.charts.epoch_axis import EpochAxis, Tick
from keras_repro.report.charts.heat_map import HeatMap, curve_axis, heat_map_of
from keras_repro.report.charts.metric_curves import chosen_metrics
from keras_repro.report.run_pair import RunPair, read_pair
from keras_repro.report.text import short_number, shorten_middle
from keras_repro.utils.text import escape_control_chars, system_reason

_DOTS = 150  # an inch
_WIDTH = 11.0  # inches
_MOST_CURVES = 2
# As on the page: viridis from light to dark, and the colour of identical cells.
_COLOURS = ("#c5df3b", "#86d04e", "#4dbf6c", "#26a583", "#228c8d", "#2f6f8e", "#3f4f89", "#482878", "#3a0351")
_IDENTICAL, _MARK = "#e9edf1", "#000000"
_RUNS = (("run A", "#e08a00", 5.0, "-"), ("run B", "#0b3d91", 1.6, "--"))


def write_png(
    file: str | os.PathLike[str] | IO[bytes],
    comparison: Comparison,
    distances: LayerDistances | None,
) -> None:
    """Draw two runs and write the picture.

    Args:
        file: the file, or its path.
        comparison: the comparison of the runs.
        distances: the distances of their layers; None if they are unknown.

    Raises:
        LedgerError: a ledger cannot be read.
        ReproError: matplotlib is not installed, or the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise ReproError("a PNG needs matplotlib; install it with: pip install 'keras_repro[plot]'") from None
    pair = read_pair(comparison)
    metrics = chosen_metrics(list(pair.metrics), _MOST_CURVES)
    heat_map = heat_map_of(distances, comparison.divergence)
    heights = [*([4.5] if heat_map is not None else []), *(1.8 for _ in metrics)] or [1.0]
    figure = Figure(figsize=(_WIDTH, 1.3 + sum(heights) * 1.15), layout="constrained")
    axes = list(figure.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0])
    _title(figure, comparison, pair)
    if heat_map is not None:
        _draw_heat_map(figure, axes.pop(0), heat_map)
    elif not metrics:
        axes[0].set_axis_off()
    epoch_axis = curve_axis(pair.epochs, heat_map)
    for name, axis in zip(metrics, axes, strict=False):
        _draw_curves(axis, name, pair, epoch_axis)
    with warnings.catch_warnings():
        # A character that the font lacks becomes a box: neither an error nor worth a warning.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        try:
            figure.savefig(file, dpi=_DOTS, format="png", metadata={"Software": "keras_repro"})
        except OSError as error:
            raise ReproError(f"cannot write {file}: {system_reason(error)}") from None


def _draw_heat_map(figure: Any, axis: Any, heat_map: HeatMap) -> None:
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Rectangle

    values, rows, columns = heat_map.cells.values, heat_map.rows, heat_map.columns
    axis.set_facecolor("white")
    if heat_map.unknown:
        style: Any = {"facecolor": "white", "edgecolor": "#8b949e", "hatch": "////", "linewidth": 0}
        axis.add_patch(Rectangle((0, 0), columns, rows, zorder=-1, **style))
    shared = {"aspect": "auto", "interpolation": "nearest", "extent": (0, columns, rows, 0)}
    axis.imshow(np.where(values == 0, 1.0, np.nan), cmap=ListedColormap([_IDENTICAL]), **shared)
    image = axis.imshow(
        np.where(values > 0, np.clip(values, 1e-8, 10), np.nan),
        cmap=ListedColormap(list(_COLOURS)),
        norm=BoundaryNorm([1e-8, *BOUNDS, 10], len(_COLOURS)),
        **shared,
    )
    legend = "grey: identical" + ("; hatched: distance unknown" if heat_map.unknown else "")
    if heat_map.known:
        bar = figure.colorbar(image, ax=axis, ticks=list(BOUNDS), pad=0.01, fraction=0.03)
        bar.ax.set_yticklabels(["1e-7: rounding", *map(short_number, BOUNDS[1:-1]), "1: unrelated"])
        bar.set_label(f"relative distance; {legend}")
    else:
        axis.set_title(legend, loc="left", fontsize=9)
    row_height = heat_map.height / rows
    axis.set_yticks([label.at / row_height for label in heat_map.labels])
    axis.set_yticklabels([_plain(label.text) for label in heat_map.labels], parse_math=False, fontsize=8)
    _set_ticks(axis, heat_map.ticks, columns)
    axis.set_xlabel(_epoch_label(heat_map.cells))
    if heat_map.mark is not None:
        _draw_mark(axis, heat_map.mark)


def _draw_mark(axis: Any, mark: Mark) -> None:
    from matplotlib.patches import Rectangle

    axis.axvline(mark.column, color=_MARK, linestyle="--", linewidth=1.2)
    if mark.row is not None:
        axis.add_patch(Rectangle((mark.column, mark.row), 1, 1, fill=False, edgecolor=_MARK, linewidth=1.8))
    if mark.row is not None and mark.small:
        centre = mark.column + 0.5, mark.row + 0.5
        for colour, width in (("white", 3.5), (_MARK, 1.6)):
            axis.plot(*centre, "o", markersize=13, fillstyle="none", color=colour, markeredgewidth=width)
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


def _draw_curves(axis: Any, name: str, pair: RunPair, epoch_axis: EpochAxis) -> None:
    for values, (run, colour, width, style) in zip(pair.metrics[name], _RUNS, strict=True):
        finite = [np.nan if v is None or not np.isfinite(v) else v for v in values]
        marker = "o" if len(values) < 3 else None
        axis.plot(epoch_axis.places, finite, style, color=colour, linewidth=width, label=run, marker=marker)
    axis.set_ylabel(shorten_middle(escape_control_chars(name), 20), parse_math=False)
    axis.set_xlim(0, epoch_axis.width)
    _set_ticks(axis, epoch_axis.ticks, epoch_axis.width)
    if epoch_axis.divergence is not None:
        x = epoch_axis.divergence * epoch_axis.width / 100
        axis.axvline(x, color=_MARK, linestyle="--", linewidth=1.2)
    axis.legend(loc="best", frameon=False, fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)


def _title(figure: Any, comparison: Comparison, pair: RunPair) -> None:
    texts = [pair.without_paths(str(comparison))]
    for letter, run in zip("AB", comparison.runs, strict=False):
        texts.append(f"run {letter}: {run['fingerprint']}, {run['status']}")
    if comparison.grade is not None:
        texts.append(f"grade {comparison.grade.name}: {comparison.grade.reason}")
    lines = [
        line
        for text in texts
        for line in textwrap.wrap(escape_control_chars(text), 130, max_lines=3, placeholder=" ...")
    ]
    figure.suptitle("\n".join(lines), fontsize=9, parse_math=False, ha="left", x=0.01)


def _set_ticks(axis: Any, ticks: Sequence[Tick], width: int) -> None:
    axis.set_xticks([tick.at * width / 100 for tick in ticks])
    axis.set_xticklabels([_plain(tick.text) for tick in ticks], parse_math=False)


def _epoch_label(cells: Cells) -> str:
    groups = {"layers per row": cells.layers_in_row, "epochs per column": cells.epochs_in_column}
    texts = [f"{count} {unit}" for unit, count in groups.items() if count > 1]
    return f"epoch ({', '.join(texts)}: the largest distance)" if texts else "epoch"


def _plain(text: str) -> str:
    return shorten_middle(escape_control_chars(text), 40)
