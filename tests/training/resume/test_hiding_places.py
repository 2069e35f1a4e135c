"""Places where a training can hide state: each is resumed exactly, or refused by name.

Each place creates new objects for each run, as a new process does.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from fractions import Fraction
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
from keras_repro.training.user_values.user_values import UserValues

# `pytest.warns` issues other warnings again, with this file as their source.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

X = np.random.default_rng(3).normal(size=(24, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


@dataclass(frozen=True, kw_only=True)
class Place:
    """The model and the callbacks of a training that hides state."""

    build: Callable[[], Any]
    callbacks: Sequence[Any] = ()
    validation: bool = False
    epochs: int = 2


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


def mutable_table_of_the_loss() -> Place:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.float32, 1.0)
    key = tf.constant(["scale"])
    return Place(
        build=lambda: model(lambda true, p: tf.reshape(table.lookup(key), ()) * squares(true, p)),
        callbacks=[each_step(lambda: table.insert(key, table.lookup(key) + 0.5))],
    )


def dense_table_of_the_loss() -> Place:
    table = tf.lookup.experimental.DenseHashTable(tf.int64, tf.float32, 1.0, empty_key=-1, deleted_key=-2)
    key = tf.constant([3], tf.int64)
    return Place(
        build=lambda: model(lambda true, p: tf.reshape(table.lookup(key), ()) * squares(true, p)),
        callbacks=[each_step(lambda: table.insert(key, table.lookup(key) + 0.5))],
    )


class Scaled(keras.Model):
    """A model whose eager step reads a plain attribute."""

    def __init__(self, *, eager: bool = True) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)
        self.scale = 1.0
        self.compile(keras.optimizers.SGD(0.05), squares, run_eagerly=eager, jit_compile=False)

    def call(self, x: Any) -> Any:
        return self.scale * self.dense(x)


class Raises(keras.callbacks.Callback):
    """Change an attribute of the model after each step."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model.scale += 0.3


class RaisesLate(keras.callbacks.Callback):
    """Change an attribute of the model between two epochs."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.model.scale += 0.5


def attribute_of_the_model() -> Place:
    return Place(build=Scaled, callbacks=[Raises()])


def attribute_that_validation_traces_later() -> Place:
    return Place(build=lambda: Scaled(eager=False), callbacks=[RaisesLate()], validation=True)


def attribute_of_a_layer() -> Place:
    class Scale(keras.layers.Layer):
        scale = 1.0

        def call(self, x: Any) -> Any:
            self.scale = self.scale + 0.2
            return x * self.scale

    return Place(build=lambda: stack(Scale()))


def stack(*layers: Any) -> Any:
    """Return an eager model of a layer and a Dense one."""
    made = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(1)])
    made.compile(keras.optimizers.SGD(0.05), squares, run_eagerly=True)
    return made


def setting_of_a_layer_of_keras() -> Place:
    class Anneals(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.layers[0].rate *= 0.7

    return Place(build=lambda: stack(keras.layers.Dropout(0.5)), callbacks=[Anneals()])


def setting_of_a_regularizer() -> Place:
    class Anneals(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.layers[0].kernel_regularizer.l2 *= 2.0

    penalty = keras.regularizers.L2(0.1)
    return Place(
        build=lambda: stack(keras.layers.Dense(2, kernel_regularizer=penalty)), callbacks=[Anneals()]
    )


def trainable_flag_of_a_layer() -> Place:
    class Freezes(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.layers[0].trainable = False

    return Place(build=lambda: stack(keras.layers.Dense(2)), callbacks=[Freezes()])


def setting_of_the_optimizer() -> Place:
    class Clips(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.optimizer.clipnorm = 0.01

    return Place(build=lambda: stack(), callbacks=[Clips()])


class WeightedLoss(keras.losses.Loss):
    """A loss with a plain attribute."""

    weight = 1.0

    def call(self, true: Any, predicted: Any) -> Any:
        self.weight += 0.2
        return self.weight * squares(true, predicted)


def attribute_of_the_loss() -> Place:
    return Place(build=lambda: model(WeightedLoss(), eager=True))


def closure_of_an_eager_loss() -> Place:
    count = 0

    def loss(true: Any, predicted: Any) -> Any:
        nonlocal count
        count += 1
        return count * squares(true, predicted)

    return Place(build=lambda: model(loss, eager=True))


def list_in_a_closure() -> Place:
    seen: list[float] = []

    def loss(true: Any, predicted: Any) -> Any:
        seen.append(1.0)
        return len(seen) * squares(true, predicted)

    return Place(build=lambda: model(loss, eager=True))


def default_of_an_eager_loss() -> Place:
    def loss(true: Any, predicted: Any, seen: list[int] = []) -> Any:  # noqa: B006 -- the place
        seen.append(1)
        return len(seen) * squares(true, predicted)

    return Place(build=lambda: model(loss, eager=True))


def attribute_of_a_function() -> Place:
    def loss(true: Any, predicted: Any) -> Any:
        loss.count += 1
        return loss.count * squares(true, predicted)

    loss.count = 0
    return Place(build=lambda: model(loss, eager=True))


steps_made = 0


def count_globally(true: Any, predicted: Any) -> Any:
    """Count the calls in a variable of this module."""
    global steps_made
    steps_made += 1
    return steps_made * squares(true, predicted)


def global_of_an_eager_loss() -> Place:
    globals()["steps_made"] = 0
    return Place(build=lambda: model(count_globally, eager=True))


def attribute_of_a_class() -> Place:
    class Settings:
        scale = 1.0

    def loss(true: Any, predicted: Any) -> Any:
        Settings.scale += 0.2
        return Settings.scale * squares(true, predicted)

    return Place(build=lambda: model(loss, eager=True))


def generator_of_numpy_in_an_eager_loss() -> Place:
    generator = np.random.default_rng(5)
    return Place(build=lambda: model(lambda true, p: generator.uniform(1, 2) * squares(true, p), eager=True))


def generators_in_a_dict() -> Place:
    generators = {"numpy": np.random.RandomState(5), "python": random.Random(3)}

    def loss(true: Any, predicted: Any) -> Any:
        scale = generators["numpy"].uniform(1, 2) + generators["python"].random()
        return scale * squares(true, predicted)

    return Place(build=lambda: model(loss, eager=True))


def value_read_by_a_py_function() -> Place:
    scales = [1.0]

    def scale() -> Any:
        scales[0] += 0.2
        return np.float32(scales[0])

    def loss(true: Any, predicted: Any) -> Any:
        value = tf.numpy_function(scale, [], tf.float32)
        return tf.reshape(value, ()) * squares(true, predicted)

    return Place(build=lambda: model(loss))


def tensor_as_an_attribute() -> Place:
    class Averages(keras.layers.Layer):
        average = None

        def call(self, x: Any) -> Any:
            if not tf.executing_eagerly():
                return x  # Keras asks for the shape
            mean = tf.reduce_mean(x, 0)
            self.average = mean if self.average is None else 0.9 * self.average + 0.1 * mean
            return x - self.average

    return Place(build=lambda: stack(Averages()))


def teacher_that_a_callback_trains() -> Place:
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="ones")])

    def loss(true: Any, predicted: Any) -> Any:
        return squares(true, predicted) + squares(teacher.layers[0].bias, predicted)

    return Place(
        build=lambda: model(loss),
        callbacks=[each_step(lambda: teacher.layers[0].bias.assign_add(0.1 * tf.ones(1)))],
    )


class Counts(keras.callbacks.Callback):
    """Change the learning rate by what the callback has counted."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.counts["steps"] += 1
        self.model.optimizer.learning_rate = 0.05 / self.counts["steps"]


def attribute_of_a_callback() -> Place:
    return Place(build=lambda: stack(), callbacks=[Counts()])


def closure_of_a_callback_function() -> Place:
    count = 0

    def slows(batch: int, logs: Any) -> None:
        nonlocal count
        count += 1
        scheduler.model.optimizer.learning_rate = 0.05 / count

    scheduler = keras.callbacks.LambdaCallback(on_train_batch_end=slows)
    return Place(build=lambda: stack(), callbacks=[scheduler])


def closure_of_a_schedule() -> Place:
    rates = [0.05]

    def schedule(epoch: int, rate: float) -> float:
        rates.append(rates[-1] / 2)
        return rates[-1]

    scheduler = keras.callbacks.LearningRateScheduler(schedule)
    return Place(build=lambda: stack(), callbacks=[scheduler], epochs=3)


def draw_while_tracing() -> Place:
    def loss(true: Any, predicted: Any) -> Any:
        return np.random.uniform(1, 2) * squares(true, predicted)

    draws = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: np.random.uniform())
    return Place(build=lambda: model(loss), callbacks=[draws])


# Each with whether leaving out the restoration of values, rather than of variables, breaks it.
EXACT = {
    variable_of_the_loss: "user",
    keras_variable_of_the_loss: "user",
    generator_of_the_loss: "user",
    variable_of_a_nested_function: "user",
    teacher_that_a_callback_trains: "user",
    mutable_table_of_the_loss: "values",
    dense_table_of_the_loss: "values",
    attribute_of_the_model: "values",
    attribute_that_validation_traces_later: "traced",
    attribute_of_a_layer: "values",
    setting_of_a_layer_of_keras: "values",
    setting_of_a_regularizer: "values",
    trainable_flag_of_a_layer: "values",
    setting_of_the_optimizer: "values",
    attribute_of_the_loss: "values",
    closure_of_an_eager_loss: "values",
    list_in_a_closure: "values",
    default_of_an_eager_loss: "values",
    attribute_of_a_function: "values",
    global_of_an_eager_loss: "values",
    attribute_of_a_class: "values",
    generator_of_numpy_in_an_eager_loss: "values",
    generators_in_a_dict: "values",
    value_read_by_a_py_function: "values",
    tensor_as_an_attribute: "values",
    attribute_of_a_callback: "values",
    closure_of_a_callback_function: "values",
    closure_of_a_schedule: "values",
    draw_while_tracing: "traced",
}


def queue_of_the_loss() -> Place:
    queue = tf.queue.FIFOQueue(9, [tf.float32], [()])
    queue.enqueue_many([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]])
    return Place(build=lambda: model(lambda true, predicted: queue.dequeue() * squares(true, predicted)))


def iterator_of_the_loss() -> Place:
    numbers = iter(tf.data.Dataset.range(100))
    scale = lambda: tf.cast(next(numbers), tf.float32)  # noqa: E731 -- one line to name
    return Place(build=lambda: model(lambda true, predicted: scale() * squares(true, predicted)))


def random_pooling() -> Place:
    def loss(true: Any, predicted: Any) -> Any:
        images = tf.reshape(predicted, (1, 4, 2, 1))
        # The function of `tf.nn` calls this; it refuses to do so under op determinism.
        return tf.reduce_mean(tf.raw_ops.FractionalAvgPool(value=images, pooling_ratio=_RATIO)[0])

    return Place(build=lambda: model(loss))


def random_pooling_in_a_function() -> Place:
    @tf.function
    def pooled(images: Any) -> Any:
        return tf.raw_ops.FractionalMaxPool(
            value=images, pooling_ratio=_RATIO, deterministic=True, pseudo_random=True
        )[0]

    def loss(true: Any, predicted: Any) -> Any:
        return squares(true, predicted) * tf.reduce_mean(pooled(tf.reshape(predicted, (1, 4, 2, 1))))

    return Place(build=lambda: model(loss))


_RATIO = [1.0, 1.5, 1.0, 1.0]

REFUSED = {
    random_pooling: r"FractionalAvgPool, made at test_hiding_places.py:\d+: it has no seed",
    random_pooling_in_a_function: r"FractionalMaxPool, made at test_hiding_places.py:\d+: it has no seed",
    queue_of_the_loss: r"QueueDequeueV2, made at test_hiding_places.py:\d+: it uses a resource \(Queue\)",
    iterator_of_the_loss: r"IteratorGetNext, made at test_hiding_places.py:\d+: it uses a .* \(Iterator\)",
}


def generator_object_in_an_eager_loss() -> Place:
    def scales() -> Any:
        scale = 1.0
        while True:
            scale += 0.3
            yield scale

    numbers = scales()
    return Place(build=lambda: model(lambda true, p: next(numbers) * squares(true, p), eager=True))


def iterator_of_a_callback() -> Place:
    class Counts(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.numbers = itertools.count(1)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.optimizer.learning_rate = 0.05 / next(self.numbers)

    return Place(build=lambda: stack(), callbacks=[Counts()])


class Average:
    """An object that a model makes while it trains."""

    total = 0.0


def object_made_in_a_step() -> Place:
    class Layer(keras.layers.Layer):
        average: Any = None

        def call(self, x: Any) -> Any:
            self.average = self.average or Average()
            self.average.total += 0.3
            return x * self.average.total

    made = Layer()

    def build() -> Any:
        made_model = stack(made)
        made.average = None
        return made_model

    return Place(build=build)


def replaced_object_of_a_library() -> Place:
    scales = [Fraction(1)]

    def loss(true: Any, predicted: Any) -> Any:
        scales[0] += Fraction(1, 3)
        return float(scales[0]) * squares(true, predicted)

    return Place(build=lambda: model(loss, eager=True))


def step_compiled_again() -> Place:
    def compile_again() -> None:
        built[0].compile(keras.optimizers.SGD(0.01), squares, jit_compile=False)
        built[0].make_train_function()

    built: list[Any] = []

    def build() -> Any:
        built[:] = [model(squares)]
        return built[0]

    again = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epoch and compile_again())
    return Place(build=build, callbacks=[again])


# What a snapshot cannot hold is noticed when it has changed: then the resume is refused.
REFUSED_LATER = {
    generator_object_in_an_eager_loss: r"numbers \(test_hiding_places.py:\d+\) is an iterator",
    iterator_of_a_callback: r"callback Counts.numbers \(test_hiding_places.py:\d+\) is an iterator",
    object_made_in_a_step: r"model.layers.0.average \(test_hiding_places.py:\d+\) has changed, and is not",
    replaced_object_of_a_library: r"scales.0 has changed, and is not a plain value",
    step_compiled_again: r"the training step was compiled again during the training",
}


def fit(place: Place, run_dir: Path, moment: str = "", **arguments: Any) -> Any:
    trainer = kr.ReproducibleTrainer(place.build, seed=1, batch_size=8, strict=True)
    given: dict[str, Any] = {"epochs": place.epochs, "snapshot_every": 4, "resume": True}
    given |= {"verbose": 0, "sketches": False}
    if place.validation:
        given["validation_data"] = (X, Y)
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

    break_restoring(EXACT[place], monkeypatch)
    assert outcome(fit(place(), tmp_path / "broken")) != whole, "it hides no state that matters"


def break_restoring(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the restoration of a part of the state."""
    assign = TrainingState._assign

    def skip(self: Any, tensor: Any, array: Any) -> None:
        if tensor.section != part:
            assign(self, tensor, array)

    monkeypatch.setattr(TrainingState, "_assign", skip)
    if part == "values":
        monkeypatch.setattr(UserValues, "restore", lambda self, packed, arrays: [])
    if part == "traced":
        monkeypatch.setattr(TrainingState, "tracing", lambda self, function: nullcontext())


@pytest.mark.parametrize("place", REFUSED)
def test_place_is_refused_before_training(place: Callable[[], Place], tmp_path: Path) -> None:
    made, steps = place(), []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    with pytest.raises(ResumeError, match="nothing was trained:\n  " + REFUSED[place]):
        fit(replace(made, callbacks=[*made.callbacks, count]), tmp_path / "run")
    assert steps == []


@pytest.mark.parametrize("place", REFUSED_LATER)
def test_resume_of_place_is_refused(place: Callable[[], Place], tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=REFUSED_LATER[place]), pytest.raises(Interrupted):
        fit(place(), tmp_path / "run", "1.1")
    steps: list[int] = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    made = place()
    with pytest.raises(ResumeError, match="nothing was trained:\n  .*" + REFUSED_LATER[place]):
        fit(replace(made, callbacks=[*made.callbacks, count]), tmp_path / "run")
    assert steps == []


def test_training_that_hides_nothing_is_resumed_without_a_word(tmp_path: Path) -> None:
    """A static table, seeded pooling, a summary writer, metrics, a schedule, averages, loss scaling."""

    def place() -> Place:
        keys = tf.lookup.KeyValueTensorInitializer(tf.constant(["scale"]), tf.constant([2.0]))
        table = tf.lookup.StaticHashTable(keys, 0.0)
        writer = tf.summary.create_file_writer(str(tmp_path / "events"))

        def loss(true: Any, predicted: Any) -> Any:
            value = table.lookup(tf.constant("scale")) * tf.cast(squares(true, predicted), tf.float32)
            pooled = tf.nn.fractional_max_pool(tf.reshape(predicted, (1, 4, 2, 1)), _RATIO, seed=3)
            value += tf.stop_gradient(tf.reduce_mean(pooled[0]))
            with writer.as_default(step=0):
                tf.summary.scalar("loss", value)
            return tf.reshape(value, ())

        def build() -> Any:
            rate = keras.optimizers.schedules.CosineDecay(0.1, 100)
            inner = keras.optimizers.Adam(rate, use_ema=True)
            layers = [keras.Input((4,)), keras.layers.BatchNormalization(), keras.layers.Dropout(0.1)]
            made = keras.Sequential([*layers, keras.layers.Dense(1, activation="sigmoid")])
            made.compile(
                keras.optimizers.LossScaleOptimizer(inner, dynamic_growth_steps=2),
                loss,
                metrics=["mae", keras.metrics.AUC()],
                jit_compile=False,
            )
            return made

        board = keras.callbacks.TensorBoard(tmp_path / "board", update_freq=1)
        return Place(build=build, callbacks=[board], validation=True)

    expected = outcome(fit(place(), tmp_path / "whole"))
    with pytest.raises(Interrupted):
        fit(place(), tmp_path / "run", "1.1")
    assert outcome(fit(place(), tmp_path / "run")) == expected
    assert [r for r in open_ledger(tmp_path / "run").records() if r["kind"] == "note"] == []


def test_captured_variable_is_recorded_once_it_moved(tmp_path: Path) -> None:
    moved, unmoved = variable_of_the_loss(), Place(build=variable_of_the_loss().build)
    epochs = {}
    for name, place in (("moved", moved), ("unmoved", unmoved)):
        run = fit(place, tmp_path / name, resume=False, snapshot_every=None)
        epochs[name] = [r for r in open_ledger(run.ledger).records() if r["kind"] == "epoch"]
    assert list(epochs["moved"][0]["tensors"]["captured"]) == ["captured/0", "captured/0 at the start"]
    assert all("captured" not in r["sections"] for r in epochs["unmoved"])
    assert list(epochs["unmoved"][0]["latent"]["captured variables"]) == ["captured/0"]
