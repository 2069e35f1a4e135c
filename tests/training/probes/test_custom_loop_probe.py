"""Custom training loops in a diagnosis: their steps, batches and replays."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_repro.storage.divergence_report import StateEvidence
from keras_repro.storage.trace_file import (
    BatchEvent,
    CheckedEvent,
    ContextEvent,
    StepEndEvent,
    StepPosition,
)
from keras_repro.training.probes.custom_loop_probe import CustomLoopProbe
from keras_repro.training.probes.event_log import CollectEvidence, EventLog
from keras_repro.training.probes.variable_probe import VariableProbe
from keras_repro.training.state import initial_values

X = np.arange(24, dtype="float32").reshape(12, 2) / 10


class RecordingLog(EventLog):
    """Keep all events, collect the evidence of some steps, and let the loop continue."""

    def __init__(self, folder: Path, *steps: int) -> None:
        super().__init__(folder, target=True, replays=True)
        self.events: list[CheckedEvent | ContextEvent] = []
        self.evidence: dict[int, StateEvidence] = {}
        self.variables = VariableProbe(self.note, self.sites, is_active=lambda: True)
        self._steps_to_collect = set(steps)

    def note(self, event: ContextEvent) -> None:
        self.events.append(event)

    def check(self, event: CheckedEvent, *, evidence: CollectEvidence | None = None) -> None:
        self.events.append(event)
        if isinstance(event, StepEndEvent) and event.position.step in self._steps_to_collect:
            assert evidence is not None
            self.evidence[event.position.step] = evidence()

    def ends(self) -> list[StepEndEvent]:
        return [e for e in self.events if isinstance(e, StepEndEvent)]

    def batches(self) -> list[BatchEvent]:
        return [e for e in self.events if isinstance(e, BatchEvent)]


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RecordingLog]]:
    from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function

    for owner, name in ((keras.Layer, "__call__"), (keras.Optimizer, "apply"), (Function, "__call__")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # restored at the end
    started: list[RecordingLog] = []

    def start(*steps: int) -> RecordingLog:
        log = RecordingLog(tmp_path, *steps)
        initial_values.start(log.variables)
        CustomLoopProbe(log).install()
        started.append(log)
        return log

    yield start
    for log in started:
        initial_values.stop(log.variables)
        log.close()


def train_by_gradients(steps: int = 2, *, threads: bool = False, in_turn: bool = False) -> None:
    """Train with the summed gradients of two batches: only their computation is a function.

    Args:
        steps: number of steps.
        threads: whether each step is made in a thread of its own.
        in_turn: whether a thread ends before the next one starts.
    """
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
        over.wait(60)  # until every thread has made its step: an ended thread's number is reused

    running = [threading.Thread(target=run, args=(number,)) for number in range(steps)]
    for thread, done in zip(running, stepped, strict=True):
        thread.start()
        assert done.wait(60)
        if in_turn:
            over.set()
            thread.join()
    over.set()
    for thread in running:
        thread.join()


def train(way: str, *, noise: Callable[[Any], Any] = lambda x: 0.0) -> dict[str, np.ndarray]:
    """Train three steps of four rows with layers that are in no model; return their weights."""
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
    weights = {f"{layer.name}/{w.name}": w.numpy() for layer in (hidden, head) for w in layer.weights}
    return weights | {"seed": drop.seed_generator.state.numpy(), "steps": optimizer.iterations.numpy()}


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[n].tobytes() == b[n].tobytes() for n in a)


@pytest.mark.parametrize("way", ["function", "eager"])
def test_each_step_has_its_batch_and_its_state(way: str, recording: Callable[..., RecordingLog]) -> None:
    bare = train(way)
    log = recording()
    assert same(train(way), bare)
    assert [e.position for e in log.ends()] == [StepPosition(-1, 0, step) for step in range(3)]
    state = log.ends()[0].tensors
    assert {"layers/0/kernel", "layers/2/bias"} < set(state["weights"])
    assert "optimizer/momentums/layers/0/kernel" in state["optimizer"]
    assert len({str(b.parts) for b in log.batches()}) == 3
    assert way == "eager" or [len(b.rows) for b in log.batches()] == [4, 4, 4]


def test_input_of_a_function_of_gradients_is_the_batch(recording: Callable[..., RecordingLog]) -> None:
    log = recording(1)
    train_by_gradients()
    first, second = log.batches()
    assert [len(b.rows) for b in (first, second)] == [8, 8]
    assert first.rows[4:] == second.rows[:4]
    assert first.parts != second.parts
    assert log.evidence[1].stepping_threads == 0


def test_threads_that_train_the_same_weights_are_counted(recording: Callable[..., RecordingLog]) -> None:
    log = recording(1)
    train_by_gradients(threads=True)
    assert log.evidence[1].stepping_threads == 2
    assert [batch.threads for batch in log.batches()] == [1, 2]
    log = recording(1)
    train_by_gradients(threads=True, in_turn=True)
    assert log.evidence[1].stepping_threads == 0
    assert [batch.threads for batch in log.batches()] == [1, 1]


def test_replay_of_a_step_is_faithful_and_changes_no_bit(recording: Callable[..., RecordingLog]) -> None:
    bare = train("function")
    log = recording(0, 2)
    assert same(train("function"), bare)
    assert set(log.evidence) == {0, 2}
    for evidence in log.evidence.values():
        replay = evidence.replay
        assert replay is not None
        assert (replay.faithful, replay.agrees, replay.agrees_drawing_on) == (True, True, True)
        assert replay.tapped is not None
        assert replay.tapped.operations == ()
        assert evidence.owners["layers/0/kernel"].layer_class == "Dense"


def test_operation_that_does_not_repeat_is_reported(recording: Callable[..., RecordingLog]) -> None:
    log = recording(1)
    train("function", noise=lambda x: tf.random.normal(tf.shape(x[:, :1])))
    replay = log.evidence[1].replay
    assert replay is not None
    assert not replay.agrees
    assert replay.tapped is not None
    (operation,) = replay.tapped.operations
    assert operation.type == "RandomStandardNormal"
    assert operation.source is not None
    assert operation.source.code == (
        'train("function", noise=lambda x: tf.random.normal(tf.shape(x[:, :1])))'
    )


def test_steps_of_fit_are_not_those_of_a_custom_loop(recording: Callable[..., RecordingLog]) -> None:
    log = recording()
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with log.in_keras():
        model.fit(X, X[:, 0], epochs=1, verbose=0)
        model.predict(X, verbose=0)
    assert log.ends() == log.batches() == []
