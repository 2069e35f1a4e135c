"""`divergence.step`: the first recorded step that differs, and no step where none is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hand_made
import pytest

from keras_repro.examine.compare import compare
from keras_repro.record.ledger import Ledger
from keras_repro.record.schema import Header, StepRecord

States = Mapping[int, Mapping[str, Any]]
PLAIN = {"weights": "w", "optimizer": "o", "metrics": "m", "loss": 0.5}


def _ledger(
    folder: Path, changed: States, *, steps: Sequence[int] = range(4), epoch: str | None = None, **header: Any
) -> Path:
    """A training of three epochs with the steps of the second; `epoch` changes that epoch's section."""
    records = hand_made.training()
    with Ledger.create(folder, Header(**header)) as ledger:
        for record in records:
            if record.kind == "epoch" and record.epoch == 1:
                for step in steps:
                    state = PLAIN | {"seen": f"{step}"} | dict(changed.get(step, {}))
                    loss = state.pop("loss")
                    digests = {name: hand_made.digest(f"{step} {text}") for name, text in state.items()}
                    ledger.append_step(StepRecord(fit=0, epoch=1, step=step, loss=loss, state=digests))
                if epoch is not None:
                    held = {s: dict(t) for s, t in record.tensors.items()} | {"metrics": {}}
                    held[epoch] = {"layers/0/kernel": hand_made.digest("other")}
                    record = hand_made.record(
                        "epoch", {s: t for s, t in held.items() if t}, fit=0, epoch=1, metrics={"loss": 0.5}
                    )
            ledger.append(record)
    return folder


def test_the_first_step_that_differs_is_named(tmp_path: Path) -> None:
    base = _ledger(tmp_path / "a", {}, epoch="optimizer")
    other = {2: {"weights": "other"}, 3: {"weights": "other"}}
    found = compare(base, _ledger(tmp_path / "b", other, epoch="weights")).divergence
    assert found is not None
    assert (found.fit, found.epoch, found.step) == (0, 1, 2)
    assert found.describe().startswith("at epoch 2/3, by step 3: weights differ, first in layers/0/kernel")
    assert found.to_dict()["step"] == 2


def test_in_the_first_step_it_is_not_said_to_be_the_initial_weights(tmp_path: Path) -> None:
    base = _ledger(tmp_path / "a", {}, epoch="optimizer")
    found = compare(base, _ledger(tmp_path / "b", {0: {"seeds": "x"}}, epoch="weights")).divergence
    assert found is not None
    assert found.describe().startswith("at epoch 2/3, by step 1: weights differ")


def test_only_steps_that_both_recorded_are_compared(tmp_path: Path) -> None:
    base = _ledger(tmp_path / "a", {}, epoch="optimizer", steps=[1, 3])
    changed = {0: {"weights": "x"}, 2: {"weights": "x"}, 3: {"weights": "x"}}
    found = compare(base, _ledger(tmp_path / "b", changed, epoch="weights")).divergence
    assert found is not None
    assert found.step == 3


@pytest.mark.parametrize(
    ("epoch", "step"), [("weights", None), ("metrics", 1)], ids=["left over in metrics", "metrics"]
)
def test_metrics_count_where_those_of_the_epoch_differ(tmp_path: Path, epoch: str, step: int | None) -> None:
    base = _ledger(tmp_path / "a", {}, epoch="optimizer")
    found = compare(base, _ledger(tmp_path / "b", {1: {"metrics": "x"}}, epoch=epoch)).divergence
    assert found is not None
    assert found.step == step


def test_no_step_is_named_where_none_differs_or_none_can_be_compared(tmp_path: Path) -> None:
    base = _ledger(tmp_path / "a", {}, epoch="optimizer")
    changed = {1: {"weights": "x"}}
    others = [
        _ledger(tmp_path / "b", {}, epoch="weights"),
        _ledger(tmp_path / "c", changed, epoch="weights", steps=[]),
        _ledger(tmp_path / "d", changed, epoch="weights", step_algorithm="xxh4-256"),
    ]
    for other in others:
        found = compare(base, other).divergence
        assert found is not None
        assert (found.epoch, found.step) == (1, None)


def test_steps_change_no_verdict_and_no_fingerprint(tmp_path: Path) -> None:
    with_steps = _ledger(tmp_path / "a", {1: {"weights": "x"}})
    without = _ledger(tmp_path / "b", {}, steps=[])
    comparison = compare(with_steps, without)
    assert comparison.verdict == "identical"
    assert len({run["fingerprint"] for run in comparison.runs}) == 1
