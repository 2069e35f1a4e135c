"""`DeterminismCallback(every=...)` and `Recorder.step`: the recorded steps and their content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from training import models

import keras_repro as kr
from keras_repro.errors import ReproError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import StepRecord
from keras_repro.training.state.fast_reader import StateReader


def _fit(
    folder: Path | None,
    every: Any = "step",
    *,
    build: Any = models.functional,
    callbacks: Any = (),
    steps_per_execution: int = 1,
    eagerly: bool = True,
) -> Any:
    """Three steps an epoch, two epochs; eagerly if possible, since tracing takes longer."""
    models.fresh()
    model = build()
    model.run_eagerly, model.steps_per_execution = eagerly, steps_per_execution
    recorders = [] if folder is None else [kr.DeterminismCallback(folder, every=every)]
    model.fit(*models.data(), batch_size=8, epochs=2, verbose=0, callbacks=[*callbacks, *recorders])
    return model


def _steps(folder: Path) -> list[StepRecord]:
    return [StepRecord.from_dict(r) for r in open_ledger(folder).records() if r["kind"] == "step"]


def _places(folder: Path) -> list[tuple[int, int]]:
    return [(r.epoch, r.step) for r in _steps(folder)]


class _Watches(keras.callbacks.Callback):
    """Read the state and the loss after each step, independently of the record."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[dict[str, str]] = []
        self.losses: list[float] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.states.append(StateReader(self.model).digests())
        self.losses.append(logs["loss"])


@pytest.mark.parametrize("build", [models.functional, models.unbuilt_sequential, models.own_noise])
def test_every_step_has_its_state_and_its_loss(build: Any, tmp_path: Path) -> None:
    watcher = _Watches()
    _fit(tmp_path / "run", build=build, callbacks=[watcher], eagerly=False)
    assert _places(tmp_path / "run") == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    steps = _steps(tmp_path / "run")
    for section in ("weights", "optimizer", "metrics"):
        assert [r.state[section] for r in steps] == [s[section] for s in watcher.states]
        assert len({r.state[section] for r in steps}) == 6
    assert [r.loss for r in steps] == watcher.losses
    assert [r.fit for r in steps] == [0] * 6
    assert [r.epoch for r in open_ledger(tmp_path / "run").steps(0, 1)] == [1, 1, 1]
    fit = next(open_ledger(tmp_path / "run").records())
    assert (fit["steps_recorded"], fit["batches"]) == (1, "not seen")
    assert open_ledger(tmp_path / "run").header["step_algorithm"] == "xxh3-128"


def test_step_records_change_neither_the_training_nor_the_fingerprint(tmp_path: Path) -> None:
    bare = _fit(None, eagerly=False)
    by_epoch = _fit(tmp_path / "epoch", "epoch", eagerly=False)
    by_step = _fit(tmp_path / "step", "step", eagerly=False)
    assert models.weights(bare) == models.weights(by_epoch) == models.weights(by_step)
    epoch_ledger, step_ledger = (open_ledger(tmp_path / name) for name in ("epoch", "step"))
    assert epoch_ledger.fingerprint == step_ledger.fingerprint
    assert _steps(tmp_path / "epoch") == []
    assert [r.to_dict() | {"extra": 0} for r in _chained(epoch_ledger)] == [
        r.to_dict() | {"extra": 0} for r in _chained(step_ledger)
    ]
    assert kr.compare(tmp_path / "epoch", tmp_path / "step").verdict == "identical"


def _chained(ledger: Any) -> list[Any]:
    return [r for r in ledger.typed_records() if r.kind not in ("fit", "epoch")]


@pytest.mark.parametrize(
    ("every", "steps_per_execution", "places"),
    [
        (2, 1, [(0, 1), (1, 1)]),
        (3, 1, [(0, 2), (1, 2)]),
        (4, 1, []),
        ("step", 2, [(0, 1), (0, 2), (1, 1), (1, 2)]),
        (3, 2, [(0, 2), (1, 2)]),
        ("step", 5, [(0, 2), (1, 2)]),
    ],
)
def test_every_selects_steps(every: Any, steps_per_execution: int, places: Any, tmp_path: Path) -> None:
    _fit(tmp_path / "run", every, steps_per_execution=steps_per_execution)
    assert _places(tmp_path / "run") == places


def test_states_are_equal_with_several_steps_per_call(recorded: Path, tmp_path: Path) -> None:
    _fit(tmp_path / "run", "step", steps_per_execution=2)
    each = {(r.epoch, r.step): r for r in _steps(recorded)}
    together = _steps(tmp_path / "run")
    assert [r.state for r in together] == [each[r.epoch, r.step].state for r in together]


class _Doubles(keras.callbacks.Callback):
    """Change one tensor after one step, or after the last step of an epoch."""

    def __init__(self, tensor: str, epoch: int, step: int | None) -> None:
        super().__init__()
        self.tensor, self.at, self._epoch = tensor, (epoch, step), 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._act(batch)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._act(None)

    def _act(self, step: int | None) -> None:
        if (self._epoch, step) == self.at:
            variable = models.named(self.model, self.tensor).variable
            variable.assign(2 * variable)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with all its steps."""
    folder = tmp_path_factory.mktemp("recorded") / "run"
    _fit(folder)
    return folder


@pytest.mark.parametrize(
    ("tensor", "step"),
    [("layers/1/kernel", 0), ("optimizer/momentums/layers/1/kernel", 1), ("layers/1/kernel", None)],
)
def test_compare_names_the_step(recorded: Path, tensor: str, step: int | None, tmp_path: Path) -> None:
    _fit(tmp_path / "run", callbacks=[_Doubles(tensor, 1, step)])
    divergence = kr.compare(recorded, tmp_path / "run").divergence
    assert divergence is not None
    assert (divergence.epoch, divergence.step) == (1, step)


def test_unseeded_unused_generator_differs_in_no_step(tmp_path: Path) -> None:
    def build() -> Any:
        model = models.functional()
        model.unused = keras.random.SeedGenerator(int(np.random.default_rng().integers(1 << 30)))
        return model

    _fit(tmp_path / "a", build=build)
    _fit(tmp_path / "b", build=build, callbacks=[_Doubles("layers/1/kernel", 0, 2)])
    assert [r.state for r in _steps(tmp_path / "a")][:2] == [r.state for r in _steps(tmp_path / "b")][:2]
    divergence = kr.compare(tmp_path / "a", tmp_path / "b").divergence
    assert divergence is not None
    assert (divergence.epoch, divergence.step) == (0, 2)


@pytest.mark.parametrize("every", [0, -1, 1.5, True, "steps", None])
def test_invalid_every_is_rejected(every: Any, tmp_path: Path) -> None:
    message = "every must be 'epoch', 'step' or a whole number of steps from 1 on, received "
    with pytest.raises(ValueError, match=message):
        kr.DeterminismCallback(tmp_path / "run", every=every)
    assert not (tmp_path / "run").exists()


def test_nonfinite_and_missing_losses_are_recorded(tmp_path: Path) -> None:
    models.fresh()
    model = models.functional()
    model.run_eagerly = True
    model.fit(
        models.data()[0] * np.inf,
        models.data()[1],
        verbose=0,
        callbacks=[kr.DeterminismCallback(tmp_path / "nan", every="step")],
    )
    assert [r.loss for r in _steps(tmp_path / "nan")] == ["nan"]
    _fit(tmp_path / "gan", build=models.gan)
    assert [r.loss for r in _steps(tmp_path / "gan")] == [None] * 6


def test_steps_of_a_custom_training_loop_are_recorded(tmp_path: Path) -> None:
    models.fresh()
    model = models.unbuilt_sequential()
    reader = None
    with kr.Recorder(tmp_path / "run", model=model) as recorder:
        for _ in range(2):
            for _ in range(2):
                loss = model.train_on_batch(*models.data())
                recorder.step(loss)
                reader = reader or StateReader(model)
                assert _steps(tmp_path / "run")[-1].state["weights"] == reader.digests()["weights"]
            recorder.epoch({"loss": loss})
        recorder.step(tf.constant(0.5), step=7)
    assert _places(tmp_path / "run") == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 7)]
    assert _steps(tmp_path / "run")[-1].loss == 0.5
    with pytest.raises(ReproError, match="has ended"):
        recorder.step()


def test_each_line_is_written_when_its_step_ends(tmp_path: Path) -> None:
    seen: list[str] = []

    class _Reads(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            seen.append((tmp_path / "run" / "ledger.jsonl").read_text().splitlines()[-1])

    _fit(tmp_path / "run", callbacks=[_Reads()])
    assert [json.loads(line).get("step") for line in seen] == [None, 0, 1, None, 0, 1]
