"""`divergence.step` is the first recorded step that differs, None if it is unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ledger_builders
import pytest

from keras_repro.comparison.compare import compare
from keras_repro.ledger.schema import Header, StepRecord
from keras_repro.ledger.writer import LedgerWriter

States = Mapping[int, Mapping[str, Any]]
PLAIN = {"weights": "w", "optimizer": "o", "metrics": "m", "loss": 0.5}


def _ledger(
    folder: Path, changed: States, *, steps: Sequence[int] = range(4), epoch: str | None = None, **header: Any
) -> Path:
    """A training of three epochs with the steps of the second; `epoch` changes that epoch's section."""
    records = ledger_builders.training()
    with LedgerWriter.create(folder, Header(**header)) as ledger:
        for record in records:
            if record.kind == "epoch" and record.epoch == 1:
                for step in steps:
                    state = PLAIN | {"seen": f"{step}"} | dict(changed.get(step, {}))
                    loss = state.pop("loss")
                    digests = {name: ledger_builders.digest(f"{step} {text}") for name, text in state.items()}
                    ledger.append_step(StepRecord(fit=0, epoch=1, step=step, loss=loss, state=digests))
                if epoch is not None:
                    tensors = {s: dict(t) for s, t in record.tensors.items()} | {"metrics": {}}
                    tensors[epoch] = {"layers/0/kernel": ledger_builders.digest("other")}
                    record = ledger_builders.record(
                        "epoch",
                        {s: t for s, t in tensors.items() if t},
                        fit=0,
                        epoch=1,
                        metrics={"loss": 0.5},
                    )
            ledger.append(record)
    return folder


def test_first_differing_step_is_located(tmp_path: Path) -> None:
    base = _ledger(tmp_path / "a", {}, epoch="optimizer")
    other = {2: {"weights": "other"}, 3: {"weights": "other"}}
    divergence = compare(base, _ledger(tmp_path / "b", other, epoch="weights")).divergence
    assert divergence is not None
    assert (divergence.fit, divergence.epoch, divergence.step) == (0, 1, 2)
    assert divergence.describe().startswith(
        "at epoch 2/3, by step 3: weights differ, first in layers/0/kernel"
    )
    assert divergence.to_dict()["step"] == 2


def test_first_step_is_not_reported_as_initial_weights(tmp_path: Path) -> None:
    base = _ledger(tmp_path / "a", {}, epoch="optimizer")
    divergence = compare(base, _ledger(tmp_path / "b", {0: {"seeds": "x"}}, epoch="weights")).divergence
    assert divergence is not None
    assert divergence.describe().startswith("at epoch 2/3, by step 1: weights differ")


def test_only_steps_that_both_recorded_are_compared(tmp_path: Path) -> None:
    base = _ledger(tmp_path / "a", {}, epoch="optimizer", steps=[1, 3])
    changed = {0: {"weights": "x"}, 2: {"weights": "x"}, 3: {"weights": "x"}}
    divergence = compare(base, _ledger(tmp_path / "b", changed, epoch="weights")).divergence
    assert divergence is not None
    assert divergence.step == 3


@pytest.mark.parametrize(
    ("epoch", "step"), [("weights", None), ("metrics", 1)], ids=["left over in metrics", "metrics"]
)
def test_metrics_count_if_those_of_the_epoch_differ(tmp_path: Path, epoch: str, step: int | None) -> None:
    base = _ledger(tmp_path / "a", {}, epoch="optimizer")
    divergence = compare(base, _ledger(tmp_path / "b", {1: {"metrics": "x"}}, epoch=epoch)).divergence
    assert divergence is not None
    assert divergence.step == step


def test_no_step_is_located_if_none_differs_or_none_is_comparable(tmp_path: Path) -> None:
    base = _ledger(tmp_path / "a", {}, epoch="optimizer")
    changed = {1: {"weights": "x"}}
    others = [
        _ledger(tmp_path / "b", {}, epoch="weights"),
        _ledger(tmp_path / "c", changed, epoch="weights", steps=[]),
        _ledger(tmp_path / "d", changed, epoch="weights", step_algorithm="xxh4-256"),
    ]
    for other in others:
        divergence = compare(base, other).divergence
        assert divergence is not None
        assert (divergence.epoch, divergence.step) == (1, None)


def test_steps_change_neither_verdict_nor_fingerprint(tmp_path: Path) -> None:
    with_steps = _ledger(tmp_path / "a", {1: {"weights": "x"}})
    without = _ledger(tmp_path / "b", {}, steps=[])
    comparison = compare(with_steps, without)
    assert comparison.verdict == "identical"
    assert len({run["fingerprint"] for run in comparison.runs}) == 1


def _batches(
    folder: Path,
    rows: Sequence[int | None],
    *,
    weights: str = "w",
    seeds: str = "s",
    every: int | None = 1,
    cause: str | None = None,
) -> Path:
    """Write an epoch with one step per row hash; each batch has its own order digest."""
    message = {} if every is None else {"steps_recorded": every, "batches": "seen"}
    with LedgerWriter.create(folder, Header()) as ledger:
        for record in ledger_builders.training():
            if record.kind == "fit":
                record = replace(record, extra=dict(record.extra) | message | ({"arguments": {"n": cause}}))
            if record.kind == "epoch" and record.epoch == 1:
                for step, sum_ in enumerate(rows):
                    digests = {"order": ledger_builders.digest(f"{folder} {step}")}
                    digests |= {} if sum_ is None else {"rows": f"{sum_ % 2**128:032x}"}
                    state = {"weights": ledger_builders.digest(f"{weights} {step}")}
                    state |= {"seeds": ledger_builders.digest(f"{seeds} {step}")}
                    ledger.append_step(StepRecord(fit=0, epoch=1, step=step, state=state, batch=digests))
                tensors = {"weights": {"layers/0/kernel": ledger_builders.digest(weights)}}
                tensors |= {"seeds": {"layers/1/seeds at the start": ledger_builders.digest(seeds)}}
                record = ledger_builders.record("epoch", tensors, fit=0, epoch=1, metrics={"loss": 0.5})
            ledger.append(record)
    return folder


@pytest.mark.parametrize(
    ("rows", "others", "options", "cause", "message"),
    [
        ([1, 2], [1, 2], {}, "data_order", "its batch has the same samples in another order"),
        ([1, 2], [2, 1], {}, "data_order", "the epoch has the same samples in another order"),
        ([1, -2], [-2, 1], {}, "data_order", "the epoch has the same samples in another order"),
        ([1, 2], [3, 1], {}, "data_values", "over the epoch the samples or their values differ"),
        ([1, 2], [2, 1], {"every": 5}, "unknown", "--every step finds out which"),
        ([1, 2], [2, 1], {"every": None}, "unknown", "--every step finds out which"),
        ([1, None], [1, None], {}, "data_order", "its batch has the same samples"),
        ([None], [None], {}, "unknown", "--every step finds out which"),
        ([1, None], [2, 1], {}, "data_values", "over the epoch the samples or their values differ"),
    ],
)
def test_batch_of_the_step_shows_the_cause(
    rows: Any, others: Any, options: Any, cause: str, message: str, tmp_path: Path
) -> None:
    base = _batches(tmp_path / "a", rows, **options)
    divergence = compare(base, _batches(tmp_path / "b", others, weights="x", **options)).divergence
    assert divergence is not None
    assert (divergence.step, divergence.cause) == (0, cause)
    assert divergence.explanation is not None
    assert message in divergence.explanation
    assert message in divergence.describe()


def test_batch_is_no_cause_if_a_generator_or_setting_differs(tmp_path: Path) -> None:
    base = _batches(tmp_path / "a", [1, 2])
    drawn = compare(base, _batches(tmp_path / "b", [2, 1], weights="x", seeds="t")).divergence
    assert drawn is not None
    assert (drawn.step, drawn.cause) == (0, "random_state")
    other = compare(base, _batches(tmp_path / "c", [2, 1], weights="x", cause="more")).divergence
    assert other is not None
    assert (other.step, other.cause) == (0, "configuration")


def test_equal_or_unobserved_batches_show_no_cause(tmp_path: Path) -> None:
    base = _ledger(tmp_path / "a", {}, epoch="optimizer")
    divergence = compare(base, _ledger(tmp_path / "b", {2: {"weights": "x"}}, epoch="weights")).divergence
    assert divergence is not None
    assert (divergence.step, divergence.cause) == (2, "unknown")
    assert "batch" not in str(divergence.explanation)
