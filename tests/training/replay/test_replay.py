"""Replaying a step does not change the training, for every way of running a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import pytest
import tensorflow as tf
from keras import layers
from training import models

from keras_repro.storage.divergence_report import StateEvidence
from keras_repro.storage.trace_file import CheckedEvent, StepEndEvent, StepPosition
from keras_repro.training.probes.callback_probe import CallbackProbe
from keras_repro.training.probes.event_log import CollectEvidence, EventLog
from keras_repro.training.probes.variable_probe import VariableProbe
from keras_repro.training.state import initial_values

FIRST, LATER = StepPosition(0, 0, 0), StepPosition(0, 1, 1)


class Replaying(EventLog):
    """Replay the steps at some positions, and let the training continue."""

    def __init__(self, folder: Path, positions: Iterable[StepPosition]) -> None:
        super().__init__(folder, target=True, replays=True)
        self.evidence: dict[StepPosition, StateEvidence] = {}
        self.seen: list[StepPosition] = []
        self._to_replay = set(positions)
        self.variables = VariableProbe(self.note, self.sites, is_active=lambda: True)

    def check(self, event: CheckedEvent, *, evidence: CollectEvidence | None = None) -> None:
        if isinstance(event, StepEndEvent):
            self.seen.append(event.position)
            if event.position in self._to_replay:
                assert evidence is not None
                self.evidence[event.position] = evidence()

    def steps_left(self, position: StepPosition) -> int:
        return 0  # the remaining batches of the epoch must stay in its iterator


@pytest.fixture
def replaying(tmp_path: Path) -> Iterator[Callable[..., Replaying]]:
    started: list[Replaying] = []

    def start(*positions: StepPosition) -> Replaying:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        log = Replaying(folder, positions)
        initial_values.start(log.variables)
        started.append(log)
        return log

    yield start
    for log in started:
        initial_values.stop(log.variables)
        log.close()


@dataclass(frozen=True)
class Case:
    """A model, its data, and how it is compiled."""

    build: Callable[[], Any]
    inputs: Callable[[], tuple[Any, Any]] = models.data
    change: dict[str, Any] = field(default_factory=dict)
    positions: tuple[StepPosition, ...] = (LATER,)
    batch_size: int = 8


def mlp() -> Any:
    stack = [keras.Input((4,)), layers.Dense(5, "relu"), layers.Dropout(0.3), layers.Dense(1)]
    return models.compiled(keras.Sequential(stack))


def cnn() -> Any:
    stack = [
        keras.Input((4, 4, 1)),
        layers.Conv2D(3, 2, activation="relu"),
        layers.BatchNormalization(),
        layers.RandomFlip(),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(1),
    ]
    return models.compiled(keras.Sequential(stack), optimizer=keras.optimizers.SGD(0.01, momentum=0.9))


def images() -> tuple[Any, Any]:
    x, y = models.data(24, 16)
    return x.reshape(24, 4, 4, 1), y


def lstm() -> Any:
    stack = [keras.Input((3, 4)), layers.LSTM(3, dropout=0.2, recurrent_dropout=0.2), layers.Dense(1)]
    return models.compiled(keras.Sequential(stack))


def sequences() -> tuple[Any, Any]:
    return models.sequences(24)


class OwnStep(keras.Model):
    """A custom training step, with noise from a seed generator."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = layers.Dense(4, "tanh"), layers.Dense(1)
        self.noise = keras.random.SeedGenerator(3)

    def call(self, x: Any) -> Any:
        return self.head(self.hidden(x))

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        with tf.GradientTape() as tape:
            noisy = x + keras.random.normal(tf.shape(x), stddev=0.1, seed=self.noise)
            loss = self.compute_loss(x, y, self(noisy, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply(gradients, self.trainable_variables)
        return {"loss": loss, "norm": tf.linalg.global_norm(gradients)}


def own_step() -> Any:
    return models.compiled(OwnStep())


def half() -> Any:
    policy = keras.dtype_policies.DTypePolicy("mixed_float16")
    stack = [
        keras.Input((4,)),
        layers.Dense(5, "relu", dtype=policy),
        layers.Dropout(0.3, dtype=policy),
        layers.Dense(1, dtype=policy),
    ]
    model = keras.Sequential(stack)
    # The scale grows every second step: a replay must change neither counter nor scale.
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), dynamic_growth_steps=2)
    return models.compiled(model, optimizer=scaled)


CASES = {
    "mlp": Case(mlp, positions=(FIRST, LATER)),
    "cnn": Case(cnn, images, positions=(FIRST,)),
    "lstm": Case(lstm, sequences),
    "attention": Case(models.attention, sequences),
    "custom train_step": Case(own_step),
    "gan": Case(models.gan, positions=(FIRST,)),
    "built in the first step": Case(models.unbuilt_sequential, positions=(FIRST,)),
    "tf.random.Generator": Case(models.own_noise),
    "jit_compile": Case(mlp, change={"jit_compile": True}),
    # Five batches: a call of four, and a call of one.
    "steps_per_execution": Case(
        mlp, change={"steps_per_execution": 4}, positions=(FIRST, StepPosition(0, 1, 4)), batch_size=5
    ),
    "jit_compile, steps_per_execution": Case(
        cnn, images, change={"jit_compile": True, "steps_per_execution": 2}, positions=(FIRST,)
    ),
    "float16 with loss scaling": Case(half),
    "run_eagerly": Case(mlp, change={"run_eagerly": True}, positions=(FIRST, LATER)),
    # 24 samples by 7: the last batch is smaller, so the batch size in the element spec is None.
    "smaller last batch": Case(mlp, positions=(StepPosition(0, 0, 3),), batch_size=7),
}
# With this gradient tapped, TensorFlow's graph optimizer does not rewrite the operations after it.
FEWER = {"cnn": "the step computes other bits with the gradients of gamma tapped"}


def train(case: Case, log: Replaying | None) -> tuple[Any, dict[str, list[float]]]:
    """Train two epochs and replay the steps of a log."""
    models.fresh()
    model = case.build()
    for name, value in case.change.items():
        setattr(model, name, value)
    x, y = case.inputs()
    callbacks = [] if log is None else [CallbackProbe(log, SimpleNamespace(fit=None))]  # type: ignore[arg-type]
    history = model.fit(x, y, batch_size=case.batch_size, epochs=2, verbose=0, callbacks=callbacks)
    return model, history.history


def state(model: Any) -> dict[str, bytes]:
    from keras_repro.training.state.walk import model_state

    return {f"{t.section} {t.name}": t.variable.numpy().tobytes() for t in model_state(model)}


@pytest.mark.parametrize("name", CASES)
def test_replay_is_faithful_and_changes_no_bit(name: str, replaying: Callable[..., Replaying]) -> None:
    case = CASES[name]
    bare, bare_history = train(case, None)
    log = replaying(*case.positions)
    model, history = train(case, log)
    assert state(model) == state(bare)
    assert history == bare_history
    assert tuple(log.evidence) == case.positions, log.seen
    for evidence in log.evidence.values():
        replay = evidence.replay
        assert replay is not None
        assert (replay.faithful, replay.agrees, replay.agrees_drawing_on) == (True, True, True)
        assert replay.differing == ()
        tapped = replay.tapped
        assert tapped is not None
        assert tapped.error is None
        assert (tapped.faithful, tapped.faithful_anew) == (True, True)
        assert replay.fewer_taps == FEWER.get(name)
        assert {tap.kind for tap in tapped.taps} - {"loss"} == {"input", "output", "gradient"}
        of_gamma = [tap.name for tap in tapped.taps if tap.kind == "gradient" and "gamma" in tap.name]
        assert not of_gamma or name not in FEWER
        assert all(len(set(tap.digests)) == 1 for tap in tapped.taps)
