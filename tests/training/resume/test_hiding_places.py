"""Places where a training can hide state: each is resumed exactly, or refused by name.

Each place creates new objects for each run, as a new process does.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from training.interrupting import Interrupted, Interrupts

import keras_repro as kr
from keras_repro.errors import ResumeError
from keras_repro.ledger.reader import open_ledger
from keras_repro.training.resume.training_state import TrainingState

X = np.random.default_rng(3).normal(size=(24, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


@dataclass(frozen=True, kw_only=True)
class Place:
    """The model and the callbacks of a training that hides state."""

    build: Callable[[], Any]
    callbacks: Sequence[Any] = ()


def each_step(change: Callable[[], Any]) -> Any:
    """Return a callback that changes something after each step."""
    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: change())


def model(loss: Any, *, eager: bool = False) -> Any:
    """Return a tiny model with a loss."""
    made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    made.compile(keras.optimizers.SGD(0.05), loss, run_eagerly=eager, jit_compile=False)
    return made


def squares(true: Any, predicted: Any) -> Any:
    return keras.ops.mean(keras.ops.square(true - predicted))


def variable_of_the_loss() -> Place:
    scale = tf.Variable(1.0, trainable=False)
    return Place(
        build=lambda: model(lambda true, predicted: scale * squares(true, predicted)),
        callbacks=[each_step(lambda: scale.assign_add(0.3))],
    )


def keras_variable_of_the_loss() -> Place:
    scale = keras.Variable(1.0)
    return Place(
        build=lambda: model(lambda true, predicted: scale * squares(true, predicted)),
        callbacks=[each_step(lambda: scale.assign(scale + 0.3))],
    )


def generator_of_the_loss() -> Place:
    generator = tf.random.Generator.from_seed(4)
    return Place(build=lambda: model(lambda true, p: squares(true, p + generator.normal(tf.shape(p)))))


def variable_of_a_nested_function() -> Place:
    scale = tf.Variable(1.0, trainable=False)

    @tf.function
    def scaled(loss: Any) -> Any:
        return tf.cond(loss > 0, lambda: scale.assign_add(0.3) * loss, lambda: loss)

    return Place(build=lambda: model(lambda true, predicted: scaled(squares(true, predicted))))


EXACT = [
    variable_of_the_loss,
    keras_variable_of_the_loss,
    generator_of_the_loss,
    variable_of_a_nested_function,
]


def queue_of_the_loss() -> Place:
    queue = tf.queue.FIFOQueue(9, [tf.float32], [()])
    queue.enqueue_many([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]])
    return Place(build=lambda: model(lambda true, predicted: queue.dequeue() * squares(true, predicted)))


def iterator_of_the_loss() -> Place:
    numbers = iter(tf.data.Dataset.range(100))
    scale = lambda: tf.cast(next(numbers), tf.float32)  # noqa: E731 -- one line to name
    return Place(build=lambda: model(lambda true, predicted: scale() * squares(true, predicted)))


REFUSED = {
    queue_of_the_loss: r"QueueDequeueV2, made at test_hiding_places.py:\d+: it uses a resource \(Queue\)",
    iterator_of_the_loss: r"IteratorGetNext, made at test_hiding_places.py:\d+: it uses a .* \(Iterator\)",
}


def fit(place: Place, run_dir: Path, moment: str = "", **arguments: Any) -> Any:
    trainer = kr.ReproducibleTrainer(place.build, seed=1, batch_size=8, strict=True)
    given: dict[str, Any] = {"epochs": 2, "snapshot_every": 1, "resume": True, "verbose": 0}
    callbacks = [*place.callbacks, Interrupts(moment)]
    return trainer.fit(X, Y, run_dir=run_dir, callbacks=callbacks, **(given | arguments))


def outcome(run: Any) -> tuple[str, list[bytes]]:
    return run.fingerprint, [w.tobytes() for w in run.model.get_weights()]


@pytest.mark.parametrize("place", EXACT)
def test_place_is_resumed_exactly(
    place: Callable[[], Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = outcome(fit(place(), tmp_path / "whole"))
    with pytest.raises(Interrupted):
        fit(place(), tmp_path / "run", "1.1")
    shutil.copytree(tmp_path / "run", tmp_path / "broken")
    assert outcome(fit(place(), tmp_path / "run")) == whole

    assign = TrainingState._assign
    monkeypatch.setattr(
        TrainingState, "_assign", lambda self, t, a: None if t.section == "captured" else assign(self, t, a)
    )
    assert outcome(fit(place(), tmp_path / "broken")) != whole, "it hides no state that matters"


@pytest.mark.parametrize("place", REFUSED)
def test_place_is_refused_before_training(place: Callable[[], Place], tmp_path: Path) -> None:
    made, steps = place(), []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    made = Place(build=made.build, callbacks=[*made.callbacks, count])
    with pytest.raises(ResumeError, match="nothing was trained:\n  " + REFUSED[place]):
        fit(made, tmp_path / "run")
    assert steps == []


def test_captured_variable_is_recorded_once_it_moved(tmp_path: Path) -> None:
    moved, unmoved = variable_of_the_loss(), Place(build=variable_of_the_loss().build)
    epochs = {}
    for name, place in (("moved", moved), ("unmoved", unmoved)):
        run = fit(place, tmp_path / name, resume=False, snapshot_every=None)
        epochs[name] = [r for r in open_ledger(run.ledger).records() if r["kind"] == "epoch"]
    assert list(epochs["moved"][0]["tensors"]["captured"]) == ["captured/0", "captured/0 at the start"]
    assert all("captured" not in r["sections"] for r in epochs["unmoved"])
    assert list(epochs["unmoved"][0]["latent"]["captured variables"]) == ["captured/0"]
