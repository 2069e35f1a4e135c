"""Taps in a step: which tensor differs first, and which operation calls the host or draws without a seed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from training import models

from keras_repro.determinism.seeds import capture_rng_state
from keras_repro.storage.divergence_report import ReplayReport, TappedReport
from keras_repro.storage.run_folder import TAPS_NAME
from keras_repro.training.replay import tapped_step
from keras_repro.training.replay.recorded_step import PreStepState, RecordedStep
from keras_repro.training.replay.replay import replay
from keras_repro.training.replay.tapped_step import TappedStep
from keras_repro.training.state.fast_reader import StateReader

SPEC = (tf.TensorSpec((None, 4), tf.float32), tf.TensorSpec((None, 1), tf.float32))


def stepped(model: Any) -> RecordedStep:
    """Return a recorded step of a model that has run twice."""
    x, y = models.data(8)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    model.fit(data, verbose=0)
    reader = StateReader(model)
    before, generators = PreStepState(reader.copy()), capture_rng_state()
    model.train_function(iter(data))
    return RecordedStep(
        model=model,
        function=model.train_function,
        batches=((tf.constant(x), tf.constant(y)),),
        spec=SPEC,
        reader=reader,
        before=before,
        generators=generators,
        after=reader.tensor_digests(),
    )


def tapped(step: RecordedStep, level: str = "all") -> tuple[TappedStep, list[np.ndarray]]:
    step.reader.restore(step.before)
    with_taps = TappedStep(step.model, level)
    return with_taps, [t.numpy() for t in with_taps(step.feed())]


def tapped_report(report: ReplayReport) -> TappedReport:
    assert report.tapped is not None
    return report.tapped


class Noisy(layers.Layer):
    """Add the result of a function."""

    def __init__(self, noise: Callable[[Any], Any]) -> None:
        super().__init__()
        self.noise = noise

    def call(self, x: Any) -> Any:
        return x + self.noise(x)


def with_noise(noise: Callable[[Any], Any], **arguments: Any) -> Any:
    models.fresh()
    stack = [keras.Input((4,)), layers.Dense(3), Noisy(noise), layers.Dense(1)]
    return models.compiled(keras.Sequential(stack), **arguments)


def drawn_on_the_host(x: Any) -> Any:
    noise = tf.numpy_function(
        lambda v: np.random.default_rng().normal(size=v.shape).astype("f4"), [x], tf.float32
    )
    noise.set_shape(x.shape)
    return noise


def drawn_by_the_operation(x: Any) -> Any:
    return tf.random.normal(tf.shape(x))


def test_taps_are_in_the_order_of_the_step() -> None:
    models.fresh()
    step = stepped(models.functional())
    with_taps, values = tapped(step)
    taps = with_taps.taps
    assert len(values) == len(taps)
    outputs = [(t.name, t.layer_class) for t in taps if t.kind == "output"]
    assert outputs == [
        ("layers/1", "Dense"),
        ("layers/2", "BatchNormalization"),
        ("layers/3", "Dropout"),
        ("layers/4", "Dense"),
        ("layers/5", "Concatenate"),
        ("layers/6", "Dense"),
    ]
    kinds = [t.kind for t in taps]
    assert kinds.index("loss") > max(i for i, k in enumerate(kinds) if k == "output")
    assert kinds.index("gradient") > kinds.index("loss")
    gradients = [t.name for t in taps if t.kind == "gradient"]
    assert gradients == [
        f"layers/{n}"
        for n in ("1/kernel", "1/bias", "2/gamma", "2/beta", "4/kernel", "4/bias", "6/kernel", "6/bias")
    ]
    # The output of one layer is the input of the next.
    by_name = {(t.kind, t.name, t.number): v for t, v in zip(taps, values, strict=True)}
    assert np.array_equal(by_name["input", "layers/2", 0], by_name["output", "layers/1", 0])
    assert by_name["input", "layers/5", 1].shape == (8, 2)


def test_levels_tap_fewer_tensors() -> None:
    models.fresh()
    step = stepped(models.sequential())
    kinds = {level: {t.kind for t in tapped(step, level)[0].taps} for level in tapped_step.LEVELS}
    assert kinds == {
        "all": {"input", "output", "loss", "gradient"},
        "forward": {"output", "loss"},
        "gradients": {"loss", "gradient"},
    }


def test_keras_is_restored_after_tapping() -> None:
    models.fresh()
    model = models.sequential()
    step = stepped(model)
    before = keras.Layer.__call__, tf.GradientTape.gradient, dict(vars(type(model)))
    tapped(step)
    assert (keras.Layer.__call__, tf.GradientTape.gradient, dict(vars(type(model)))) == before

    class Fails(keras.Sequential):
        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("no loss")

    original = Fails.compute_loss
    failing = Fails([keras.Input((4,)), layers.Dense(1)])
    failing.compile(loss="mse")
    with pytest.raises(RuntimeError, match="no loss"):
        TappedStep(failing)(iter(tf.data.Dataset.from_tensors(models.data())))
    assert (keras.Layer.__call__, tf.GradientTape.gradient, Fails.compute_loss) == (*before[:2], original)


def test_tensors_in_loops_and_branches_are_not_tapped() -> None:
    class InALoop(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.head = layers.Dense(4), layers.Dense(1)

        def call(self, x: Any) -> Any:
            _, x = tf.while_loop(lambda i, _: i < 2, lambda i, v: (i + 1, self.inner(v)), [0, x])
            return self.head(tf.cond(tf.reduce_sum(x) > 0, lambda: self.inner(x), lambda: x))

    models.fresh()
    model = InALoop()
    model.inner.build((None, 4))
    step = stepped(models.compiled(model))
    with_taps, _ = tapped(step)
    assert {t.name for t in with_taps.taps if t.kind == "output"} == {"head"}
    assert step.reader.tensor_digests() == step.after


# --- the first difference


def test_first_difference_is_the_output_of_the_noisy_layer(tmp_path: Path) -> None:
    step = stepped(with_noise(drawn_on_the_host))
    report = replay(step, tmp_path)
    assert not report.faithful
    assert not report.agrees
    assert report.fewer_taps is None
    first = next(t for t in tapped_report(report).taps if t.digests[0] != t.digests[1])
    assert (first.kind, first.name, first.layer_class) == ("output", "layers/1", "Noisy")
    assert first.distance is not None
    assert first.distance.elements == first.distance.of == 24
    assert first.distance.ulps is not None
    assert first.distance.ulps > 0
    before = [t for t in tapped_report(report).taps if t.name == "layers/0"]
    assert {t.kind for t in before} == {"input", "output"}
    assert all(len(set(t.digests)) == 1 for t in before)
    with np.load(tmp_path / TAPS_NAME) as kept:
        assert len(kept.files) == len(tapped_report(report).taps)


def test_value_drawn_while_tracing_differs_after_tracing_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    step = stepped(with_noise(lambda x: tf.constant(rng.normal(size=3), tf.float32)))
    report = replay(step, tmp_path)
    assert (report.faithful, report.agrees) == (True, True)
    assert (tapped_report(report).level, tapped_report(report).faithful) == ("all", False)
    first = next(t for t in tapped_report(report).taps if t.digests[0] != t.digests[2])
    assert first.digests[0] == first.digests[1]
    assert (first.kind, first.name, first.layer_class) == ("output", "layers/1", "Noisy")


def test_draws_from_the_process_generators_are_distinguished(tmp_path: Path) -> None:
    def noise(x: Any) -> Any:
        return tf.reshape(tf.numpy_function(lambda: np.float32(np.random.normal()), [], tf.float32), ())

    step = stepped(with_noise(noise))
    report = replay(step, tmp_path)
    assert (report.faithful, report.agrees, report.agrees_drawing_on) == (True, True, False)
    assert tapped_report(report).faithful


# --- operations


def _line_of(function: Any, text: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(i for i, line in enumerate(lines) if text in line)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize(
    ("noise", "kind", "text"),
    [
        (drawn_on_the_host, "PyFunc", "tf.numpy_function"),
        (drawn_by_the_operation, "RandomStandardNormal", "tf.random.normal"),
    ],
)
def test_operation_has_its_layer_and_the_users_line(
    noise: Any, kind: str, text: str, jit_compile: bool
) -> None:
    if jit_compile and kind == "PyFunc":
        return  # XLA does not call the host
    step = stepped(with_noise(noise, jit_compile=jit_compile))
    with_taps, _ = tapped(step)
    (operation,) = with_taps.operations
    assert (operation.type, operation.layer, operation.layer_class) == (kind, "layers/1", "Noisy")
    assert operation.source is not None
    assert operation.source.file == __file__
    assert operation.source.line == _line_of(noise, text)
    assert text in operation.source.code


def test_operation_in_a_loop_or_a_function_is_found() -> None:
    @tf.function
    def inner(x: Any) -> Any:
        return tf.random.uniform(tf.shape(x))

    def in_a_loop(x: Any) -> Any:
        return tf.while_loop(lambda i, _: i < 2, lambda i, v: (i + 1, v + inner(v)), [0, x])[1]

    step = stepped(with_noise(in_a_loop))
    with_taps, _ = tapped(step)
    assert {o.type for o in with_taps.operations} == {"RandomUniform"}
    assert {o.layer for o in with_taps.operations} == {"layers/1"}


def test_operation_of_the_step_itself_has_no_layer() -> None:
    class Shuffles(keras.Sequential):
        def train_step(self, data: Any) -> Any:
            x, y = data
            return super().train_step((x, tf.random.shuffle(y)))

    models.fresh()
    model = models.compiled(Shuffles([keras.Input((4,)), layers.Dense(1)]))
    with_taps, _ = tapped(stepped(model))
    (operation,) = with_taps.operations
    assert (operation.type, operation.layer) == ("RandomShuffle", "")
    assert operation.source is not None
    assert "tf.random.shuffle(y)" in operation.source.code


def test_seeded_layers_have_no_suspicious_operation() -> None:
    models.fresh()
    stack = [keras.Input((4,)), layers.GaussianNoise(0.1), layers.Dropout(0.2), layers.Dense(1)]
    with_taps, _ = tapped(stepped(models.compiled(keras.Sequential(stack))))
    assert with_taps.operations == []


# --- not enough memory


class Hungry(layers.Layer):
    """Run out of memory when traced with taps."""

    def __init__(self, error: Any, *levels: str) -> None:
        super().__init__()
        self.error, self.levels, self.asked = error, levels, 0

    def call(self, x: Any) -> Any:
        frame = inspect.currentframe()
        while frame is not None:
            step = frame.f_locals.get("self")
            if isinstance(step, TappedStep) and step._level in self.levels:
                self.asked += 1
                self.error()
            frame = frame.f_back
        return x


def _on_the_device() -> None:
    # Raised as by a kernel, because the allocator takes ten seconds to fail.
    raise tf.errors.ResourceExhaustedError(
        None, None, "OOM when allocating tensor with shape[35184372088832]"
    )


def _on_the_host() -> None:
    np.empty(1 << 50)


def hungry(error: Any, *levels: str) -> tuple[RecordedStep, Hungry]:
    models.fresh()
    layer = Hungry(error, *levels)
    stack = [keras.Input((4,)), layers.Dense(3), layer, layers.Dense(1)]
    return stepped(models.compiled(keras.Sequential(stack))), layer


@pytest.mark.parametrize("error", [_on_the_device, _on_the_host])
def test_fewer_tensors_are_tapped_if_memory_runs_out(error: Any, tmp_path: Path) -> None:
    step, layer = hungry(error, "all")
    report = replay(step, tmp_path)
    assert layer.asked == 1
    assert (report.faithful, report.agrees) == (True, True)
    assert report.fewer_taps == "out of memory with all of its tensors tapped"
    assert (tapped_report(report).level, tapped_report(report).faithful) == ("forward", True)
    assert {t.kind for t in tapped_report(report).taps} == {"output", "loss"}
    assert step.reader.tensor_digests() == step.after


def test_no_tensor_is_tapped_if_memory_always_runs_out(tmp_path: Path) -> None:
    step, layer = hungry(_on_the_device, *tapped_step.LEVELS)
    report = replay(step, tmp_path)
    assert layer.asked == 3
    assert report.tapped is None
    assert report.fewer_taps == (
        "out of memory with all of its tensors tapped; out of memory with its layers' outputs tapped; "
        "out of memory with its gradients tapped"
    )
    assert step.reader.tensor_digests() == step.after


def test_error_of_a_step_that_cannot_be_traced_with_taps_is_reported(tmp_path: Path) -> None:
    class Refuses(keras.Sequential):
        def train_step(self, data: Any) -> Any:
            if keras.Layer.__call__.__module__ == tapped_step.__name__:
                raise ValueError("not with me")
            return super().train_step(data)

    models.fresh()
    step = stepped(models.compiled(Refuses([keras.Input((4,)), layers.Dense(1)])))
    report = replay(step, tmp_path)
    assert (report.faithful, report.agrees) == (True, True)
    assert report.tapped == TappedReport(error="ValueError: not with me")
    assert step.reader.tensor_digests() == step.after
