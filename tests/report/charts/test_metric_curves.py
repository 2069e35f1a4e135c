"""Curves of a metric: their points, scale and ticks, and the sentences below them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pytest

from keras_repro.report.charts.epoch_axis import axis_of, borders_of, ticks_of
from keras_repro.report.charts.metric_curves import Chart, chart_of, chosen_metrics

NAN, INF = math.nan, math.inf


def chart(a: Sequence[float | None], b: Sequence[float | None] | None = None) -> Chart:
    epochs = [f"epoch {i + 1}" for i in range(len(a))]
    curves = tuple(a), tuple(a if b is None else b)
    return chart_of("loss", *curves, epochs=epochs, places=axis_of(epochs, ()).places)


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](\S+?) ([\d.]+)", path)]


def test_larger_is_higher_and_the_scale_is_linear() -> None:
    assert points(chart([0.0, 1.0, 0.25]).curves[0]) == [(0.5, 96.0), (1.5, 4.0), (2.5, 73.0)]
    assert [(t.at, t.text) for t in chart([0.0, 1.0]).ticks] == [(96.0, "0"), (50.0, "0.5"), (4.0, "1")]


def test_wide_ranges_have_a_logarithmic_scale() -> None:
    falling = chart([10.0, 1.0, 0.1])
    assert falling.logarithmic
    assert points(falling.curves[0]) == [(0.5, 4.0), (1.5, 50.0), (2.5, 96.0)]
    assert [t.text for t in falling.ticks] == ["0.1", "1", "10"]
    assert not chart([10.0, 1.0, 0.0]).logarithmic


def test_ticks_of_a_narrow_range_differ() -> None:
    assert [t.text for t in chart([0.69310, 0.69315]).ticks] == ["0.6931", "0.69312", "0.69314"]


@pytest.mark.parametrize(
    "values",
    [
        [1.7e308, 1.7e308],
        [1e308, -1e308],
        [5e-324, 3.0],
        [0.0, 5e-324],
        [0.0],
        [-5.0, -5.0],
        [NAN, INF, None],
        [],
        [1e300, 1.0000000001e300],
    ],
)
def test_extreme_numbers_are_drawn(values: list[float | None]) -> None:
    drawn = chart(values)
    assert all(0 <= y <= 100 for _, y in points(drawn.curves[0]))
    assert all(math.isfinite(t.at) for t in drawn.ticks)
    assert len(points(drawn.curves[0])) == sum(v is not None and math.isfinite(v) for v in values)


def test_gap_breaks_the_curve_and_a_single_point_is_kept() -> None:
    assert chart([0.0, None, 1.0, NAN]).curves[0] == "M0.5 96.0h0M2.5 4.0h0"
    assert chart([0.0, 1.0, None, 1.0, 1.0]).curves[0] == "M0.5 96.0L1.5 4.0M3.5 4.0L4.5 4.0"


def test_thinning_keeps_every_peak() -> None:
    values = [0.5] * 100_000
    values[77_777], values[33_333] = 1.0, 0.0
    path = chart(values).curves[0]
    assert len(path) < 20_000
    heights = {y: x for x, y in points(path)}
    assert heights[4.0] == pytest.approx(77_777.5, abs=1)
    assert heights[96.0] == pytest.approx(33_333.5, abs=1)


def test_sentences_report_differences_of_one_bit() -> None:
    assert chart([1.0, 2.0]).words == ("Identical in both runs, bit for bit, at 2 epochs.",)
    assert chart([1.0, NAN], [1.0, NAN]).words[0].startswith("Identical in both runs")
    assert chart([1.0, 0.5, 0.25], [1.0, 0.5 + 2**-54 * 4, 0.0]).words == (
        "The curves differ from epoch 2 on, at 2 of 3 epochs, by 0.25 at most (epoch 3).",
    )
    assert chart([1.0, NAN], [1.0, 2.0]).words == (
        "The curves differ from epoch 2 on, at 1 of 2 epochs.",
        "Run A: not a number (NaN) from epoch 2 on, 1 epoch left out.",
    )
    assert chart([1.0, 2.0], [1.0, None]).words[1] == "Run B has no value at 1 epoch, first at epoch 2."
    assert chart([1.0, None], [None, 1.0]).words[0] == "No epoch has a value in both runs."


def test_losses_come_first() -> None:
    names = ["accuracy", "zeta", "val_accuracy", "out_loss", "val_loss", "loss"]
    assert chosen_metrics(names, 4) == ["loss", "val_loss", "accuracy", "val_accuracy"]
    assert chosen_metrics(["mae", "out_loss", "b"], 3) == ["out_loss", "mae", "b"]


# The axis shared with the heat map.


def test_ticks_are_round_numbers() -> None:
    epochs = ["start", *(f"epoch {n}" for n in range(1, 301))]
    assert [t.text for t in ticks_of(epochs, group=1)] == ["start", "50", "100", "150", "200", "250", "300"]
    assert ticks_of(epochs, group=1)[2].at == pytest.approx(100 * 100.5 / 301)
    assert [t.text for t in ticks_of(epochs[:8], group=1)] == ["start", "1", "2", "3", "4", "5", "6", "7"]
    assert ticks_of([], group=1) == ()


def test_ticks_of_several_fits_are_at_their_starts() -> None:
    epochs = [f"fit {f}, {e}" for f in (1, 2, 3) for e in ("start", "epoch 1", "epoch 2")]
    assert [(t.text, t.at) for t in ticks_of(epochs, group=1)] == [
        ("fit 1", 0),
        ("fit 2", pytest.approx(100 / 3)),
        ("fit 3", pytest.approx(200 / 3)),
    ]
    assert borders_of(epochs, group=1) == (pytest.approx(100 / 3), pytest.approx(200 / 3))


def test_huge_epoch_numbers_have_few_ticks() -> None:
    epochs = [f"epoch {n * 10**25}" for n in range(1, 40)]
    assert len(ticks_of(epochs, group=1)) <= 8


def test_curves_are_aligned_with_the_map() -> None:
    columns = ["start", "epoch 1", "epoch 2", "epoch 3"]
    axis = axis_of(["epoch 1", "epoch 2", "epoch 3"], columns, divergence=50.0)
    assert (axis.places, axis.width, axis.divergence) == ((1.5, 2.5, 3.5), 4, 50.0)
    assert axis_of(["epoch 3"], columns, group=3).width == 6
    # The map lacks an epoch: the curves get their own axis, without the mark of the map.
    axis = axis_of(["epoch 1", "epoch 9"], columns, divergence=50.0)
    assert (axis.places, axis.width, axis.divergence) == ((0.5, 1.5), 2, None)
