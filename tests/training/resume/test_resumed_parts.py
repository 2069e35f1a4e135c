"""Each part of the state after a resume, by name: bit-identical, and reported if it is not.

The state of an uninterrupted run is recorded before each step, and its folder is copied in its middle. A run
that is resumed in the copy must have the same state before each step.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from training import models

import keras_repro as kr
from keras_repro.training.backends.keras3_tf import epoch_entry, random_state
from keras_repro.training.resume.callback_states import CallbackStates
from keras_repro.training.resume.training_state import TrainingState
from keras_repro.training.state.walk import model_state

MIDDLE = (1, 2)  # the epoch and the step before which the folder is copied
SNAPSHOT = (1, 1)  # the newest snapshot in the copy
Seen = dict[tuple[int, int], dict[str, Any]]

# Attributes of callbacks that a resumed script sets again, or (the last two) that Keras derives from these.
_NOT_RESTORED = ("_model", "params", "validation_data", "schedule", "monitor_op", "min_delta")


class Global(layers.Layer):
    """Draw from Keras's global seed generator."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x + keras.random.normal(keras.ops.shape(x), stddev=0.1) if training else x


def mlp() -> Any:
    body = [layers.Dense(3), layers.BatchNormalization(), Global(), layers.Dropout(0.5), layers.Dense(1)]
    optimizer = keras.optimizers.Adam(0.01)
    return models.compiled(keras.Sequential([keras.Input((4,)), *body]), optimizer=optimizer, metrics=["mae"])


def cnn() -> Any:
    body = [layers.Reshape((2, 2, 1)), layers.RandomFlip(), layers.Conv2D(2, 2), layers.Flatten()]
    return models.compiled(keras.Sequential([keras.Input((4,)), *body, layers.Dense(1)]))


def lstm() -> Any:
    body = [layers.LSTM(2, dropout=0.2, recurrent_dropout=0.1), layers.Dense(1)]
    return models.compiled(keras.Sequential([keras.Input((3, 4)), *body]))


def loss_scale() -> Any:
    body = [layers.Dense(3, dtype="mixed_float16"), layers.Dropout(0.2), layers.Dense(1)]
    inner = keras.optimizers.Adam(0.01)
    optimizer = keras.optimizers.LossScaleOptimizer(inner, initial_scale=64.0, dynamic_growth_steps=2)
    return models.compiled(keras.Sequential([keras.Input((4,)), *body]), optimizer=optimizer)


MODELS: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "mlp": (mlp, models.data),
    "cnn": (cnn, models.data),
    "lstm": (lstm, lambda: models.sequences(24)),
    "attention": (models.attention, lambda: models.sequences(24)),
    "gan": (models.gan, models.data),
    "loss scale": (loss_scale, models.data),
}


class Draws(keras.callbacks.Callback):
    """A callback with a state that draws from each global generator in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[float] = []

    def get_state(self) -> dict[str, Any]:
        return {"drawn": self.drawn}

    def set_state(self, state: dict[str, Any]) -> None:
        self.drawn = state["drawn"]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        tensorflow = tf.random.get_global_generator().uniform(()), tf.random.uniform(())
        self.drawn += [random.random(), np.random.random(), *map(float, tensorflow)]


class FirstStepReached(Exception):
    """Raised after the state before the first step of a resumed run is recorded."""


class StateRecorder(keras.callbacks.Callback):
    """Record the whole state before each step, and copy the run folder in the middle of a run."""

    def __init__(self, callbacks: list[Any], folder: Path, *, once: bool = False) -> None:
        super().__init__()
        self.callbacks, self.folder, self.once = callbacks, folder, once
        self.seen: Seen = {}
        self.epoch = 0

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        pass

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.seen[self.epoch, batch] = {"position": (self.epoch, batch), **parts(self.model, self.callbacks)}
        if self.once:
            raise FirstStepReached
        if (self.epoch, batch) == MIDDLE and not self.folder.with_name("middle").exists():
            shutil.copytree(self.folder, self.folder.with_name("middle"))


def parts(model: Any, callbacks: list[Any]) -> dict[str, Any]:
    """Return everything that a resume must restore, by name, in a form that compares bit for bit."""
    values: dict[str, Any] = {}
    for tensor in model_state(model):
        value = np.asarray(tensor.variable.numpy())
        values[f"{tensor.section}: {tensor.name}"] = (value.dtype.name, value.shape, value.tobytes())
    values["generators: python"] = random.getstate()
    values["generators: numpy"] = repr(np.random.get_state())
    generator, eager = random_state.global_tensorflow_generator(), random_state.eager_operation_seeds()
    values["generators: tensorflow"] = None if generator is None else generator.state.numpy().tobytes()
    values["generators: eager operations"] = None if eager is None else eager.getstate()
    for callback in [*callbacks, model.history]:
        for name, value in vars(callback).items():
            if name not in _NOT_RESTORED:
                values[f"callbacks: {type(callback).__name__}.{name}"] = repr(value)
    optimizers = [o for o in (model.optimizer,) if o is not None]
    values |= {"learning rate": [float(o.learning_rate) for o in optimizers]}
    return values


def differing(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """Return names of the parts that differ, or that only one of the two contains."""
    return sorted(n for n in first.keys() | second.keys() if first.get(n, "none") != second.get(n, "none"))


def fit(kind: str, folder: Path, *, once: bool = False) -> StateRecorder:
    """Train a kind of model, or resume its training, and record its state before each step."""
    build, data = MODELS[kind]

    def eager() -> Any:
        tf.random.set_global_generator(tf.random.Generator.from_seed(5))
        model = build()
        model.run_eagerly = True  # tracing takes longer than these few steps
        return model

    x, y = data()
    callbacks: list[Any] = [Draws()]
    if kind != "gan":
        callbacks += [
            keras.callbacks.EarlyStopping("loss", patience=3, restore_best_weights=True),
            keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=9.0, cooldown=1),
            keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        ]
    recorder = StateRecorder(callbacks, folder, once=once)
    trainer = kr.ReproducibleTrainer(eager, seed=3, batch_size=8, strict=False)
    trainer.fit(
        x,
        y,
        epochs=2,
        run_dir=folder,
        snapshot_every=2,
        resume=True,
        sketches=False,
        verbose=0,
        callbacks=[*callbacks, recorder],
    )
    return recorder


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], StateRecorder]:
    """Return an uninterrupted run of a kind; the copy of its folder is next to it."""
    runs: dict[str, StateRecorder] = {}

    def of(kind: str) -> StateRecorder:
        if kind not in runs:
            runs[kind] = fit(kind, tmp_path_factory.mktemp("parts") / "run")
        return runs[kind]

    return of


def copied(whole: StateRecorder, to: Path) -> Path:
    shutil.copytree(whole.folder.with_name("middle"), to)
    return to


@pytest.mark.parametrize("kind", list(MODELS))
def test_every_part_is_restored_before_every_step(
    whole: Callable[[str], StateRecorder], tmp_path: Path, kind: str
) -> None:
    expected = whole(kind)
    resumed = fit(kind, copied(expected, tmp_path / "run"))
    assert list(resumed.seen) == [step for step in expected.seen if step >= SNAPSHOT]
    for step, seen in resumed.seen.items():
        assert differing(seen, expected.seen[step]) == [], step
    ends = [parts(recorder.model, recorder.callbacks) for recorder in (expected, resumed)]
    assert differing(*ends) == []


def test_all_parts_are_compared(whole: Callable[[str], StateRecorder]) -> None:
    seen = whole("mlp").seen[SNAPSHOT] | whole("loss scale").seen[SNAPSHOT]
    assert {
        "position",
        "weights: layers/0/kernel",
        "weights: layers/1/moving_mean",
        "optimizer: optimizer/iterations",
        "optimizer: optimizer/momentums/layers/0/kernel",
        "optimizer: optimizer/dynamic_scale",
        "seeds: layers/3/seed_generator/state",
        "seeds: global_seed_generator/state",
        "metrics: loss_tracker/total",
        "generators: python",
        "callbacks: History.history",
        "callbacks: EarlyStopping.best_weights",
        "callbacks: ReduceLROnPlateau.cooldown_counter",
        "learning rate",
    } <= seen.keys(), sorted(seen)


def disable_restoring(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the restoring of one part."""
    restore, restore_callbacks = TrainingState.restore, CallbackStates.restore
    section, _, name = part.partition(": ")

    def restore_state(self: Any, arrays: Any, metadata: Any, **named: Any) -> None:
        variables = [t.variable for t in self._walk.tensors() if f"{t.section}: {t.name}" == part]
        before = [v.numpy() for v in variables]
        python, numpy = random.getstate(), np.random.get_state()
        generator, eager = random_state.global_tensorflow_generator(), random_state.eager_operation_seeds()
        tensorflow = None if generator is None else generator.state.numpy()
        operations = None if eager is None else eager.getstate()
        restore(self, arrays, metadata, **named)
        for variable, value in zip(variables, before, strict=True):
            variable.assign(value)
        if part == "generators: python":
            random.setstate(python)
        elif part == "generators: numpy":
            np.random.set_state(numpy)
        elif part == "generators: tensorflow":
            generator.state.assign(tensorflow)
        elif part == "generators: eager operations":
            eager.setstate(operations)

    def restore_states(self: Any, *arguments: Any, **named: Any) -> None:
        owner, _, attribute = name.partition(".")
        callback = next((c for c in self._callbacks if type(c).__name__ == owner), None)
        before = None if callback is None or section != "callbacks" else getattr(callback, attribute)
        restore_callbacks(self, *arguments, **named)
        if callback is not None and section == "callbacks":
            setattr(callback, attribute, before)

    monkeypatch.setattr(TrainingState, "restore", restore_state)
    monkeypatch.setattr(CallbackStates, "restore", restore_states)
    if part == "position":
        enter = epoch_entry.start_epoch_at_step
        monkeypatch.setattr(
            epoch_entry,
            "start_epoch_at_step",
            lambda *given, step, **named: enter(*given, step=step - 1, **named),
        )


# Parts that differ together, because they contain the same value.
_TOGETHER = {"optimizer: optimizer/learning_rate": ["learning rate"]}


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("mlp", "position"),
        ("mlp", "weights: layers/0/kernel"),
        ("mlp", "weights: layers/1/moving_mean"),
        ("mlp", "optimizer: optimizer/iterations"),
        ("mlp", "optimizer: optimizer/velocities/layers/0/kernel"),
        ("mlp", "optimizer: optimizer/learning_rate"),
        ("mlp", "seeds: layers/3/seed_generator/state"),
        ("mlp", "seeds: global_seed_generator/state"),
        ("mlp", "metrics: loss_tracker/total"),
        ("mlp", "generators: python"),
        ("mlp", "generators: numpy"),
        ("mlp", "generators: tensorflow"),
        ("mlp", "generators: eager operations"),
        ("mlp", "callbacks: History.history"),
        ("mlp", "callbacks: EarlyStopping.best_weights"),
        ("mlp", "callbacks: EarlyStopping.best"),
        ("mlp", "callbacks: ReduceLROnPlateau.best"),
        ("mlp", "callbacks: Draws.drawn"),
        ("loss scale", "optimizer: optimizer/dynamic_scale"),
        ("loss scale", "optimizer: optimizer/step_counter"),
    ],
)
def test_part_that_is_not_restored_is_reported(
    whole: Callable[[str], StateRecorder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    part: str,
) -> None:
    expected = whole(kind)
    folder = copied(expected, tmp_path / "run")
    disable_restoring(part, monkeypatch)
    recorders: list[StateRecorder] = []
    monkeypatch.setattr(StateRecorder, "__init__", _keeping(StateRecorder.__init__, recorders))
    with pytest.raises(FirstStepReached):
        fit(kind, folder, once=True)
    ((_, seen),) = recorders[0].seen.items()
    assert differing(seen, expected.seen[SNAPSHOT]) == sorted([part, *_TOGETHER.get(part, [])])


def _keeping(wrapped: Callable[..., None], recorders: list[StateRecorder]) -> Callable[..., None]:
    def init(self: StateRecorder, *arguments: Any, **named: Any) -> None:
        wrapped(self, *arguments, **named)
        recorders.append(self)

    return init
