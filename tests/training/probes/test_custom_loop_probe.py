"""Loops that are written by hand, as a diagnosis sees them: their steps, what went in, and these again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_repro.storage.trace_file import Event
from keras_repro.training.probes.custom_loop_probe import CustomLoopProbe
from keras_repro.training.probes.event_log import EventLog, Evidence
from keras_repro.training.probes.variable_probe import VariableProbe
from keras_repro.training.state import initial_values

X = np.arange(24, dtype="float32").reshape(12, 2) / 10


class Looking(EventLog):
    """Keeps what it hears, gathers the evidence of some steps, and lets the loop go on."""

    def __init__(self, folder: Path, *places: str) -> None:
        super().__init__(folder, target=True, replays=True)
        self.heard_of: list[Event] = []
        self.found: dict[str, Any] = {}
        self.variables = VariableProbe(self.note, self.sites, is_active=lambda: True)
        self._gathers = set(places)

    def note(self, event: Event) -> None:
        self.heard_of.append(event)

    def check(self, event: Event, *, evidence: Evidence | None = None) -> None:
        self.heard_of.append(event)
        if event.key in self._gathers:
            assert evidence is not None
            self.found[event.key] = evidence()

    def of(self, kind: str) -> list[Event]:
        return [e for e in self.heard_of if e.kind == kind]


@pytest.fixture
def looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Looking]]:
    from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function

    for owner, name in ((keras.Layer, "__call__"), (keras.Optimizer, "apply"), (Function, "__call__")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back in the end
    started: list[Looking] = []

    def start(*places: str) -> Looking:
        probe = Looking(tmp_path, *places)
        initial_values.start(like=probe.variables)
        CustomLoopProbe(probe).install()
        started.append(probe)
        return probe

    yield start
    for probe in started:
        initial_values.stop(probe.variables)
        probe.close()


def train_by_gradients(steps: int = 2, *, threads: bool = False) -> None:
    """Steps that sum the gradients of two batches: a function gives them, the optimizer is outside of it."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    optimizer = keras.optimizers.SGD(0.1)

    @tf.function
    def gradients(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x) - x[:, :1]) ** 2)
        return tape.gradient(loss, model.trainable_variables)

    def step(number: int) -> None:
        parts = [gradients(tf.constant(X[4 * i : 4 * i + 4])) for i in (number, number + 1)]
        optimizer.apply([a + b for a, b in zip(*parts, strict=True)], model.trainable_variables)

    if not threads:
        for number in range(steps):
            step(number)
        return
    stepped, over = [threading.Event() for _ in range(steps)], threading.Event()

    def run(number: int) -> None:
        step(number)
        stepped[number].set()
        over.wait(60)  # until all have made their step: an ended thread's number is given again

    running = [threading.Thread(target=run, args=(number,)) for number in range(steps)]
    for thread, done in zip(running, stepped, strict=True):
        thread.start()
        assert done.wait(60)
    over.set()
    for thread in running:
        thread.join()


def train(way: str, *, noise: Callable[[Any], Any] = lambda x: 0.0) -> dict[str, np.ndarray]:
    """Three steps of four rows, by layers that no model holds; returns their weights."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(5)
    hidden, drop, head = keras.layers.Dense(3, "tanh"), keras.layers.Dropout(0.5), keras.layers.Dense(1)
    optimizer = keras.optimizers.Adam(0.1)

    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            out = head(drop(hidden(x), training=True)) + noise(x)
            loss = tf.reduce_mean((out - x[:, :1]) ** 2)
        weights = hidden.trainable_weights + head.trainable_weights
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    run = tf.function(step) if way == "function" else step
    for begin in (0, 4, 8):
        run(tf.constant(X[begin : begin + 4]))
    held = {f"{layer.name}/{w.name}": w.numpy() for layer in (hidden, head) for w in layer.weights}
    return held | {"seed": drop.seed_generator.state.numpy(), "steps": optimizer.iterations.numpy()}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[n].tobytes() == b[n].tobytes() for n in a)


@pytest.mark.parametrize("way", ["function", "eager"])
def test_each_step_has_its_batch_and_its_state(way: str, looking: Callable[..., Looking]) -> None:
    bare = train(way)
    probe = looking()
    assert same(train(way), bare)
    assert [e.key for e in probe.of("end")] == ["-1 0 0", "-1 0 1", "-1 0 2"]
    state = probe.of("end")[0].value
    assert {"layers/0/kernel", "layers/2/bias"} < set(state["weights"])
    assert "optimizer/momentums/layers/0/kernel" in state["optimizer"]
    batches = probe.of("batch")
    assert len({str(b.value) for b in batches}) == 3
    assert way == "eager" or [len(b.info["rows"]) for b in batches] == [4, 4, 4]


def test_what_a_function_of_gradients_was_given_is_the_batch(looking: Callable[..., Looking]) -> None:
    probe = looking("-1 0 1")
    train_by_gradients()
    first, second = probe.of("batch")
    assert [len(b.info["rows"]) for b in (first, second)] == [8, 8]
    assert first.info["rows"][4:] == second.info["rows"][:4]
    assert first.value != second.value
    assert "stepping_threads" not in probe.found["-1 0 1"]


def test_threads_that_train_the_same_weights_are_counted(looking: Callable[..., Looking]) -> None:
    probe = looking("-1 0 1")
    train_by_gradients(threads=True)
    assert probe.found["-1 0 1"]["stepping_threads"] == 2


def test_a_step_that_is_run_again_is_faithful_and_changes_no_bit(looking: Callable[..., Looking]) -> None:
    bare = train("function")
    probe = looking("-1 0 0", "-1 0 2")
    assert same(train("function"), bare)
    for found in probe.found.values():
        replayed = found["replay"]
        assert (replayed["faithful"], replayed["agrees"], replayed["agrees_drawing_on"]) == (True, True, True)
        assert replayed["tapped"]["operations"] == []
        assert found["models"]["layers/0/kernel"]["class"] == "Dense"


def test_an_operation_that_does_not_repeat_is_named(looking: Callable[..., Looking]) -> None:
    probe = looking("-1 0 1")
    train("function", noise=lambda x: tf.random.normal(tf.shape(x[:, :1])))
    replayed = probe.found["-1 0 1"]["replay"]
    assert not replayed["agrees"]
    (operation,) = replayed["tapped"]["operations"]
    assert operation["type"] == "RandomStandardNormal"
    assert operation["source"]["code"] == (
        'train("function", noise=lambda x: tf.random.normal(tf.shape(x[:, :1])))'
    )


def test_keras_has_its_own_steps(looking: Callable[..., Looking]) -> None:
    probe = looking()
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with probe.in_keras():
        model.fit(X, X[:, 0], epochs=1, verbose=0)
        model.predict(X, verbose=0)
    assert probe.of("end") == probe.of("batch") == []
