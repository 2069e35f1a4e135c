"""Curves of a metric: where they run, and what the words below them say of what the eye cannot see."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import pytest

from keras_repro.report.charts.epoch_axis import axis_of, borders_of, ticks_of
from keras_repro.report.charts.metric_curves import Chart, chart_of, chosen

NAN, INF = math.nan, math.inf


def chart(a: Sequence[float | None], b: Sequence[float | None] | None = None) -> Chart:
    epochs = [f"epoch {i + 1}" for i in range(len(a))]
    both = tuple(a), tuple(a if b is None else b)
    return chart_of("loss", *both, epochs=epochs, places=axis_of(epochs, ()).places)


def points(path: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](\S+?) ([\d.]+)", path)]


def test_larger_is_higher_and_the_scale_is_linear() -> None:
    assert points(chart([0.0, 1.0, 0.25]).curves[0]) == [(0.5, 96.0), (1.5, 4.0), (2.5, 73.0)]
    assert [(t.at, t.text) for t in chart([0.0, 1.0]).ticks] == [(96.0, "0"), (50.0, "0.5"), (4.0, "1")]


def test_a_long_fall_is_drawn_by_decades() -> None:
    found = chart([10.0, 1.0, 0.1])
    assert found.logarithmic
    assert points(found.curves[0]) == [(0.5, 4.0), (1.5, 50.0), (2.5, 96.0)]
    assert [t.text for t in found.ticks] == ["0.1", "1", "10"]
    assert not chart([10.0, 1.0, 0.0]).logarithmic


def test_ticks_tell_narrow_values_apart() -> None:
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
def test_every_number_has_a_place(values: list[float | None]) -> None:
    found = chart(values)
    assert all(0 <= y <= 100 for _, y in points(found.curves[0]))
    assert all(math.isfinite(t.at) for t in found.ticks)
    assert len(points(found.curves[0])) == sum(v is not None and math.isfinite(v) for v in values)


def test_a_gap_breaks_the_curve_and_a_lone_point_stays() -> None:
    assert chart([0.0, None, 1.0, NAN]).curves[0] == "M0.5 96.0h0M2.5 4.0h0"
    assert chart([0.0, 1.0, None, 1.0, 1.0]).curves[0] == "M0.5 96.0L1.5 4.0M3.5 4.0L4.5 4.0"


def test_of_very_many_values_no_peak_is_lost() -> None:
    values = [0.5] * 100_000
    values[77_777], values[33_333] = 1.0, 0.0
    path = chart(values).curves[0]
    assert len(path) < 20_000
    heights = {y: x for x, y in points(path)}
    assert heights[4.0] == pytest.approx(77_777.5, abs=1)
    assert heights[96.0] == pytest.approx(33_333.5, abs=1)


def test_what_differs_is_said_to_the_last_bit() -> None:
    assert chart([1.0, 2.0]).words == ("The same in both runs, to the last bit, at 2 epochs.",)
    assert chart([1.0, NAN], [1.0, NAN]).words[0].startswith("The same in both runs")
    assert chart([1.0, 0.5, 0.25], [1.0, 0.5 + 2**-54 * 4, 0.0]).words == (
        "The curves differ from epoch 2 on, at 2 of 3 epochs, by 0.25 at most (epoch 3).",
    )
    assert chart([1.0, NAN], [1.0, 2.0]).words == (
        "The curves differ from epoch 2 on, at 1 of 2 epochs.",
        "Run A: not a number (NaN) from epoch 2 on, 1 epoch left out.",
    )
    assert chart([1.0, 2.0], [1.0, None]).words[1] == "Run B has no value at 1 epoch, first at epoch 2."
    assert chart([1.0, None], [None, 1.0]).words[0] == "No epoch has it in both runs."


def test_losses_come_first() -> None:
    names = ["accuracy", "zeta", "val_accuracy", "out_loss", "val_loss", "loss"]
    assert chosen(names, 4) == ["loss", "val_loss", "accuracy", "val_accuracy"]
    assert chosen(["mae", "out_loss", "b"], 3) == ["out_loss", "mae", "b"]


# The axis that they share with the heat map.


def test_ticks_are_round_numbers() -> None:
    epochs = ["start", *(f"epoch {n}" for n in range(1, 301))]
    assert [t.text for t in ticks_of(epochs, group=1)] == ["start", "50", "100", "150", "200", "250", "300"]
    assert ticks_of(epochs, group=1)[2].at == pytest.approx(100 * 100.5 / 301)
    assert [t.text for t in ticks_of(epochs[:8], group=1)] == ["start", "1", "2", "3", "4", "5", "6", "7"]
    assert ticks_of([], group=1) == ()


def test_several_fits_are_named_where_they_begin() -> None:
    epochs = [f"fit {f}, {e}" for f in (1, 2, 3) for e in ("start", "epoch 1", "epoch 2")]
    assert [(t.text, t.at) for t in ticks_of(epochs, group=1)] == [
        ("fit 1", 0),
        ("fit 2", pytest.approx(100 / 3)),
        ("fit 3", pytest.approx(200 / 3)),
    ]
    assert borders_of(epochs, group=1) == (pytest.approx(100 / 3), pytest.approx(200 / 3))


def test_numbers_beyond_reason_are_no_trouble() -> None:
    epochs = [f"epoch {n * 10**25}" for n in range(1, 40)]
    assert len(ticks_of(epochs, group=1)) <= 8


def test_curves_stand_above_their_columns() -> None:
    columns = ["start", "epoch 1", "epoch 2", "epoch 3"]
    axis = axis_of(["epoch 1", "epoch 2", "epoch 3"], columns, parting=50.0)
    assert (axis.places, axis.width, axis.parting) == ((1.5, 2.5, 3.5), 4, 50.0)
    assert axis_of(["epoch 3"], columns, group=3).width == 6
    # An epoch that the map does not have: an axis of their own, without the map's mark.
    axis = axis_of(["epoch 1", "epoch 9"], columns, parting=50.0)
    assert (axis.places, axis.width, axis.parting) == ((0.5, 1.5), 2, None)
