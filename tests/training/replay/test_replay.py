"""Replaying a step: the training goes on as if nothing had looked at it, for every way of running one."""

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

from keras_repro.storage.trace_file import Event
from keras_repro.training.probes.callback_probe import CallbackProbe
from keras_repro.training.probes.event_log import EventLog, Evidence
from keras_repro.training.probes.variable_probe import VariableProbe
from keras_repro.training.state import initial_values

FIRST, LATER, LAST = "0 0 0", "0 1 1", "0 1 2"


class Replaying(EventLog):
    """Replays the steps at some places, and lets the training go on."""

    def __init__(self, folder: Path, places: Iterable[str]) -> None:
        super().__init__(folder, target=True, replays=True)
        self.found: dict[str, dict[str, Any]] = {}
        self.seen: list[str] = []
        self._places_to_replay = set(places)
        self.variables = VariableProbe(self.note, self.sites, is_active=lambda: True)

    def check(self, event: Event, *, evidence: Evidence | None = None) -> None:
        if event.kind == "end":
            self.seen.append(event.key)
            if event.key in self._places_to_replay:
                assert evidence is not None
                self.found[event.key] = evidence()

    def steps_left(self, place: str) -> int:
        return 0  # what the epoch would still have had is left to it


@pytest.fixture
def replaying(tmp_path: Path) -> Iterator[Callable[..., Replaying]]:
    started: list[Replaying] = []

    def start(*places: str) -> Replaying:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        probe = Replaying(folder, places)
        initial_values.start(like=probe.variables)
        started.append(probe)
        return probe

    yield start
    for probe in started:
        initial_values.stop(probe.variables)
        probe.close()


@dataclass(frozen=True)
class Case:
    """A model, what it is trained on, and how it is compiled."""

    build: Callable[[], Any]
    inputs: Callable[[], tuple[Any, Any]] = models.data
    change: dict[str, Any] = field(default_factory=dict)
    places: tuple[str, ...] = (LATER,)
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
    """A training step of its own, with noise from a seed generator."""

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
    # Grows every second step, so that its counter and its scale are part of what must stay.
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), dynamic_growth_steps=2)
    return models.compiled(model, optimizer=scaled)


CASES = {
    "mlp": Case(mlp, places=(FIRST, LATER)),
    "cnn": Case(cnn, images, places=(FIRST,)),
    "lstm": Case(lstm, sequences),
    "attention": Case(models.attention, sequences),
    "custom train_step": Case(own_step),
    "gan": Case(models.gan, places=(FIRST,)),
    "built in the first step": Case(models.unbuilt_sequential, places=(FIRST,)),
    "tf.random.Generator": Case(models.own_noise),
    "jit_compile": Case(mlp, change={"jit_compile": True}),
    # Five batches: a call of four, and one of what is left.
    "steps_per_execution": Case(
        mlp, change={"steps_per_execution": 4}, places=("0 0 0", "0 1 4"), batch_size=5
    ),
    "jit_compile, steps_per_execution": Case(
        cnn, images, change={"jit_compile": True, "steps_per_execution": 2}, places=("0 0 0",)
    ),
    "float16 with loss scaling": Case(half),
    "run_eagerly": Case(mlp, change={"run_eagerly": True}, places=(FIRST, LATER)),
    # 24 samples by 7: the last batch is smaller, so that its element spec is open.
    "smaller last batch": Case(mlp, places=("0 0 3",), batch_size=7),
}
# With this gradient taken out, TensorFlow's graph optimizer does not rewrite what comes of it.
FEWER = {"cnn": "the step computes other bits with the gradients of gamma taken out"}


def train(case: Case, probe: Replaying | None) -> tuple[Any, dict[str, list[float]]]:
    """Trains two epochs; a probe's places are replayed on the way."""
    models.fresh()
    model = case.build()
    for name, value in case.change.items():
        setattr(model, name, value)
    x, y = case.inputs()
    callbacks = [] if probe is None else [CallbackProbe(probe, SimpleNamespace(fit=None))]  # type: ignore[arg-type]
    history = model.fit(x, y, batch_size=case.batch_size, epochs=2, verbose=0, callbacks=callbacks)
    return model, history.history


def state(model: Any) -> dict[str, bytes]:
    from keras_repro.training.state.walk import model_state

    return {f"{t.section} {t.name}": t.variable.numpy().tobytes() for t in model_state(model)}


@pytest.mark.parametrize("name", CASES)
def test_a_replay_is_faithful_and_changes_no_bit(name: str, replaying: Callable[..., Replaying]) -> None:
    case = CASES[name]
    bare, bare_history = train(case, None)
    probe = replaying(*case.places)
    model, history = train(case, probe)
    assert state(model) == state(bare)
    assert history == bare_history
    assert tuple(probe.found) == case.places, probe.seen
    for found in probe.found.values():
        replayed = found["replay"]
        assert (replayed["faithful"], replayed["agrees"], replayed["agrees_drawing_on"]) == (True, True, True)
        assert replayed["differing"] == []
        tapped = replayed["tapped"]
        assert "error" not in tapped, tapped
        assert (tapped["faithful"], tapped["faithful_anew"]) == (True, True)
        assert replayed.get("fewer_taps") == FEWER.get(name)
        assert {t["kind"] for t in tapped["taps"]} - {"loss"} == {"input", "output", "gradient"}
        of_gamma = [t["name"] for t in tapped["taps"] if t["kind"] == "gradient" and "gamma" in t["name"]]
        assert not of_gamma or name not in FEWER
        assert all(len(set(t["digests"])) == 1 for t in tapped["taps"])
