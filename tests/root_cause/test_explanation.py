"""What the JSON form of a comparison gains from a diagnosis."""

from __future__ import annotations

from typing import Any

import pytest

from keras_repro.root_cause.explanation import Explanation


@pytest.mark.parametrize(
    ("recorded", "gained"),
    [
        ({"fit": 0, "epoch": 2, "step": None}, {"step": 7}),
        # Another run's step would be no place together with this epoch.
        ({"fit": 0, "epoch": 3, "step": None}, {}),
        ({"fit": 1, "epoch": 2, "step": None}, {}),
        ({"fit": 0, "epoch": 2, "step": 5}, {}),
    ],
)
def test_divergence_stays_one_place(recorded: dict[str, Any], gained: dict[str, Any]) -> None:
    explanation = Explanation(cause="operation", fit=0, epoch=2, step=7)
    added = explanation.to_divergence(recorded)
    assert {name: added[name] for name in ("fit", "epoch", "step") if name in added} == gained
    assert [added["diagnosis"][name] for name in ("fit", "epoch", "step")] == [0, 2, 7]


def test_cause_that_the_ledgers_show_is_kept() -> None:
    added = Explanation(cause="operation").to_divergence({"cause": "unknown"})
    assert (added["cause"], added["diagnosis"]["recorded_cause"]) == ("operation", "unknown")


def test_layer_and_reason_are_named_in_one_line() -> None:
    explanation = Explanation(cause="operation", layer="layers/0", layer_class="Conv2D", sentence="a sum")
    assert explanation.describe_cause() == "operation: a sum"
    assert explanation.describe_cause(with_layer=True) == "operation in Conv2D layers/0: a sum"
    assert Explanation(cause="unknown").describe_cause(with_layer=True) == "unknown"
