"""`DeterminismCallback` records and compares a training, and does not change it."""

from __future__ import annotations

import gc
import os
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from training import models

import keras_repro as kr
from keras_repro.errors import DivergenceError, LedgerError, RunFolderError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Record


@dataclass(frozen=True)
class Mode:
    """A way to train: a model, its data, callbacks of its own and arguments of `fit`."""

    build: Callable[[], Any]
    inputs: Callable[[], tuple[Any, Any]] = models.data
    callbacks: Callable[[], list[Any]] = list
    arguments: dict[str, Any] = field(default_factory=dict)
    policy: str = "float32"


def _mlp(**arguments: Any) -> Any:
    return models.compiled(
        keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(4),
                layers.BatchNormalization(),
                layers.Dropout(0.3),
                layers.Dense(1),
            ]
        ),
        **arguments,
    )


class _Spread(keras.metrics.Metric):
    """A metric with a state of its own."""

    def __init__(self) -> None:
        super().__init__(name="spread")
        self.low = self.add_variable((), "zeros", name="low")
        self.high = self.add_variable((), "zeros", name="high")

    def update_state(self, y: Any, predicted: Any, sample_weight: Any = None) -> None:
        self.low.assign(keras.ops.minimum(self.low, keras.ops.min(predicted)))
        self.high.assign(keras.ops.maximum(self.high, keras.ops.max(predicted)))

    def result(self) -> Any:
        return self.high - self.low


def _two_outputs() -> Any:
    inputs = keras.Input((4,))
    hidden = layers.Dense(3)(inputs)
    model = keras.Model(
        inputs, {"a": layers.Dense(1, name="a")(hidden), "b": layers.Dense(2, name="b")(hidden)}
    )
    metrics = {"a": [_Spread(), "mae"], "b": ["mse"]}
    return models.compiled(model, loss={"a": "mse", "b": "mae"}, metrics=metrics, optimizer=_schedule())


def _two_targets() -> tuple[Any, Any]:
    x, y = models.data()
    return x, {"a": y, "b": np.concatenate([y, 1 - y], axis=1)}


def _stateful() -> Any:
    recurrent = layers.LSTM(2, stateful=True, recurrent_dropout=0.2)
    return models.compiled(keras.Sequential([keras.Input((3, 4), batch_size=8), recurrent, layers.Dense(1)]))


def _schedule() -> Any:
    return keras.optimizers.Adam(keras.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5))


def _augmented() -> Any:
    return models.compiled(
        keras.Sequential(
            [
                layers.RandomFlip(),
                layers.Conv2D(2, 2),
                layers.GaussianNoise(0.1),
                layers.Flatten(),
                layers.Dense(1),
            ]
        )
    )


def _images() -> tuple[Any, Any]:
    x, y = models.data(16, 16)
    return x.reshape(16, 4, 4, 1), y


def _stop_early() -> list[Any]:
    return [keras.callbacks.EarlyStopping("loss", patience=0, min_delta=9.0, restore_best_weights=True)]


_EMA = {"use_ema": True, "ema_momentum": 0.5}
_HELD_OUT = {"validation_split": 0.25}
MODES = {
    "eager": Mode(lambda: _mlp(run_eagerly=True)),
    "xla": Mode(lambda: _mlp(jit_compile=True)),
    "several steps a call": Mode(lambda: _mlp(steps_per_execution=2), arguments=_HELD_OUT),
    "mixed_bfloat16": Mode(_mlp, policy="mixed_bfloat16"),
    "mixed_float16": Mode(_mlp, policy="mixed_float16"),
    "average at the end, of accumulated steps": Mode(
        lambda: _mlp(optimizer=keras.optimizers.Adam(0.01, **_EMA, gradient_accumulation_steps=2))
    ),
    "average in between, plateau": Mode(
        lambda: _mlp(optimizer=keras.optimizers.Adam(0.01, **_EMA, ema_overwrite_frequency=2)),
        callbacks=lambda: [keras.callbacks.ReduceLROnPlateau("loss", patience=0, min_delta=9.0)],
    ),
    "average swapped": Mode(
        lambda: _mlp(optimizer=keras.optimizers.Adam(0.01, **_EMA)),
        callbacks=lambda: [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)],
    ),
    "best weights": Mode(_mlp, callbacks=_stop_early),
    "several outputs, metric with state, schedule": Mode(_two_outputs, _two_targets, arguments=_HELD_OUT),
    "stateful lstm": Mode(_stateful, models.sequences),
    "attention": Mode(models.attention, models.sequences),
    "augmentation, unbuilt": Mode(_augmented, _images),
    "gan": Mode(models.gan),
    "own generator": Mode(models.own_noise),
}


def _fit(mode: Mode, callback: Any = None) -> Any:
    models.fresh()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(mode.policy)
    try:
        model = mode.build()
    finally:
        keras.config.set_dtype_policy(before)
    x, y = mode.inputs()
    callbacks = mode.callbacks() + ([callback] if callback is not None else [])
    history = model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=callbacks, **mode.arguments)
    return model, history.history


@pytest.mark.parametrize("name", MODES)
def test_training_is_recorded_and_not_changed(name: str, tmp_path: Path) -> None:
    bare, history = _fit(MODES[name])
    callback = kr.DeterminismCallback(tmp_path / "one")
    observed, observed_history = _fit(MODES[name], callback)
    assert models.weights(observed) == models.weights(bare)
    assert observed_history == history
    assert callback.fingerprint == open_ledger(tmp_path / "one").fingerprint
    records = list(open_ledger(tmp_path / "one").typed_records())
    kinds = [r.kind for r in records if r.kind != "birth"]
    assert kinds == ["fit", "start", *["epoch"] * len(history[next(iter(history))]), "end"]
    epochs = [r for r in records if r.kind == "epoch"]
    assert [r.epoch for r in epochs] == list(range(len(epochs)))
    recorded = {n: [r.metrics[n] for r in epochs] for n in epochs[0].metrics}
    assert recorded == {n: v for n, v in history.items() if n in recorded}
    assert records[-1].tensors["weights"] == _digests(bare)["weights"]
    # Each epoch changed something.
    states = [
        r.sections["weights"] for r in records if r.kind in ("start", "epoch") and "weights" in r.sections
    ]
    assert len(set(states)) == len(states)


def _digests(model: Any) -> Any:
    from keras_repro.training.state.digests import digests_of
    from keras_repro.training.state.walk import model_state

    return digests_of(model_state(model))


def test_weights_averaged_after_the_last_epoch_are_in_the_end_record(tmp_path: Path) -> None:
    model, _ = _fit(
        Mode(lambda: _mlp(optimizer=keras.optimizers.Adam(**_EMA), run_eagerly=True)),
        kr.DeterminismCallback(tmp_path / "run"),
    )
    records = list(open_ledger(tmp_path / "run").typed_records())
    assert records[-2].sections["weights"] != records[-1].sections["weights"]
    assert records[-1].tensors["weights"] == _digests(model)["weights"]


def test_restored_best_weights_are_in_the_end_record(tmp_path: Path) -> None:
    model, history = _fit(MODES["best weights"], kr.DeterminismCallback(tmp_path / "run"))
    records = list(open_ledger(tmp_path / "run").typed_records())
    assert len(history["loss"]) == 2
    assert records[-1].tensors["weights"] == _digests(model)["weights"]
    weights = [r.sections["weights"] for r in records if r.kind == "epoch"]
    assert records[-1].sections["weights"] == weights[0] != weights[1]


# Divergence: a run that diverges in its second epoch.


class _Flip(keras.callbacks.Callback):
    """Change one bit of one tensor at the end of an epoch."""

    def __init__(self, tensor: str, epoch: int) -> None:
        super().__init__()
        self.tensor, self.epoch = tensor, epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            models.flip_bit(models.named(self.model, self.tensor).variable)


@pytest.fixture(scope="module")
def gan_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GAN's training of four epochs, to compare with."""
    folder = tmp_path_factory.mktemp("reference") / "run"
    _train_gan(kr.DeterminismCallback(folder))
    return folder


def _train_gan(*callbacks: Any, seed: int = 5) -> Any:
    models.fresh(seed)
    model = models.gan()
    model.run_eagerly = True
    return model.fit(models.data()[0], batch_size=8, epochs=4, verbose=0, callbacks=list(callbacks))


_SLOT = "g_optimizer/velocities/generator/layers/1/kernel"


def test_stop_ends_the_training_at_the_epoch_that_differs(gan_run: Path, tmp_path: Path) -> None:
    callback = kr.DeterminismCallback(tmp_path / "run", reference=gan_run)
    with pytest.warns(
        UserWarning, match=rf"diverged from the reference at epoch 2/4: .*{_SLOT}.* stops here"
    ):
        history = _train_gan(_Flip(_SLOT, 1), callback)
    assert len(history.epoch) == 2
    divergence = callback.divergence
    assert divergence is not None
    assert (divergence.fit, divergence.epoch) == (0, 1)
    assert divergence.tensors == ({"section": "optimizer", "tensor": _SLOT},)
    ledger = open_ledger(tmp_path / "run")
    assert ledger.status == "stopped"
    assert callback.fingerprint == ledger.fingerprint
    assert callback.fingerprint.endswith("-partial")


def test_raise_ends_the_training_with_an_error(gan_run: Path, tmp_path: Path) -> None:
    callback = kr.DeterminismCallback(tmp_path / "run", reference=gan_run, on_divergence="raise")
    tensor = "discriminator/layers/2/kernel"
    with pytest.raises(DivergenceError, match=rf"at epoch 3/4: weights differ, first in {tensor}") as caught:
        _train_gan(_Flip(tensor, 2), callback)
    assert caught.value.divergence is callback.divergence
    assert open_ledger(tmp_path / "run").status == "stopped"


def test_warn_continues_to_the_end(gan_run: Path, tmp_path: Path) -> None:
    callback = kr.DeterminismCallback(tmp_path / "run", reference=gan_run, on_divergence="warn")
    with pytest.warns(UserWarning, match="diverged from the reference at epoch 1/4") as caught:
        history = _train_gan(_Flip("d_optimizer/learning_rate", 0), callback)
    assert len([w for w in caught if "diverged" in str(w.message)]) == 1
    assert len(history.epoch) == 4
    assert callback.divergence is not None
    assert callback.divergence.tensors == ({"section": "optimizer", "tensor": "d_optimizer/learning_rate"},)
    assert open_ledger(tmp_path / "run").status == "finished"


def test_difference_in_deferred_weights_is_reported_before_the_first_epoch(
    gan_run: Path, tmp_path: Path
) -> None:
    callback = kr.DeterminismCallback(tmp_path / "run", reference=gan_run)
    with pytest.warns(UserWarning, match="before the first epoch: initial weights differ"):
        history = _train_gan(callback, seed=6)
    assert len(history.epoch) == 1
    assert callback.divergence is not None
    assert (callback.divergence.epoch, callback.divergence.cause) == (None, "initial_weights")


def test_difference_at_the_start_is_reported_before_the_first_step(tmp_path: Path) -> None:
    x, y = models.data()
    models.fresh()
    models.sequential().fit(x, y, verbose=0, callbacks=[kr.DeterminismCallback(tmp_path / "one")])
    models.fresh(6)
    model = models.sequential()
    before = models.weights(model)[:4]
    callback = kr.DeterminismCallback(tmp_path / "two", reference=tmp_path / "one", on_divergence="raise")
    with pytest.raises(DivergenceError, match="before the first epoch: initial weights differ"):
        model.fit(x, y, verbose=0, callbacks=[callback])
    assert models.weights(model)[:4] == before


def test_run_longer_than_its_reference_does_not_diverge(gan_run: Path, tmp_path: Path) -> None:
    models.fresh()
    model = models.gan()
    model.run_eagerly = True
    callback = kr.DeterminismCallback(tmp_path / "run", reference=gan_run)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        history = model.fit(models.data()[0], batch_size=8, epochs=5, verbose=0, callbacks=[callback])
    assert len(history.epoch) == 5
    assert callback.divergence is not None
    assert callback.divergence.tensor is None
    assert "the same until epoch 4" in callback.divergence.describe()


# Invalid arguments.


def test_invalid_arguments_are_rejected(tmp_path: Path, gan_run: Path) -> None:
    message = "on_divergence must be one of 'stop', 'raise', 'warn', received 'explode'"
    with pytest.raises(ValueError, match=message):
        kr.DeterminismCallback(tmp_path / "a", on_divergence="explode")  # type: ignore[arg-type]
    assert not (tmp_path / "a").exists()
    with pytest.raises(RunFolderError, match="holds a run already: choose another, or overwrite it"):
        kr.DeterminismCallback(gan_run)
    with pytest.raises(LedgerError, match="no ledger at"):
        kr.DeterminismCallback(tmp_path / "b", reference=tmp_path / "nothing")
    with pytest.raises(RunFolderError, match="the reference is the run folder itself"):
        kr.DeterminismCallback(gan_run, reference=gan_run, overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match=r"run folder .*file is a file: choose another name"):
        kr.DeterminismCallback(tmp_path / "file")


def test_folder_without_a_run_is_used_and_a_run_is_replaced_only_if_requested(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("notes")
    x, y = models.data()
    model = models.sequential()
    model.fit(x, y, verbose=0, callbacks=[kr.DeterminismCallback(tmp_path / "run")])
    model.fit(x, y, verbose=0, callbacks=[kr.DeterminismCallback(tmp_path / "run", overwrite=True)])
    assert (tmp_path / "run" / "notes.txt").read_text() == "notes"
    assert [r.kind for r in open_ledger(tmp_path / "run").typed_records()].count("fit") == 1


# The position in the list of callbacks.


class _Watches(keras.callbacks.Callback):
    """A user's callback that acts at the end of an epoch."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """A hook whose effect is unknown."""


class _Batches(keras.callbacks.Callback):
    """A user's callback whose hooks all come before the next record."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """A hook whose effect is unknown."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """A hook whose effect is unknown."""


_CHANGING: list[Callable[[], Any]] = [
    lambda: keras.callbacks.EarlyStopping("loss", restore_best_weights=True),
    lambda: keras.callbacks.ReduceLROnPlateau("loss"),
    lambda: keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
    lambda: keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    keras.callbacks.SwapEMAWeights,
    _Watches,
]


@pytest.fixture(scope="module")
def small_model() -> Any:
    return _mlp(optimizer=keras.optimizers.Adam(0.01, **_EMA), run_eagerly=True)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
@pytest.mark.parametrize("make", _CHANGING, ids=lambda make: type(make()).__name__)
def test_callback_before_one_that_changes_weights_or_logs_warns(
    make: Callable[[], Any], small_model: Any, tmp_path: Path
) -> None:
    x, y = models.data()
    name = type(make()).__name__
    callback = kr.DeterminismCallback(tmp_path / "first")
    with pytest.warns(
        UserWarning, match=f"{name} after DeterminismCallback may change .* DeterminismCallback last"
    ):
        small_model.fit(x, y, verbose=0, callbacks=[callback, make()])
    note = next(open_ledger(tmp_path / "first").typed_records()).extra["notes"]
    assert len(note) == 1
    assert note[0].startswith(name)
    # Warnings are errors here: the last callback causes none.
    small_model.fit(x, y, verbose=0, callbacks=[make(), kr.DeterminismCallback(tmp_path / "last")])
    assert next(open_ledger(tmp_path / "last").typed_records()).extra["notes"] == []


def test_callback_before_passive_ones_does_not_warn(small_model: Any, tmp_path: Path) -> None:
    x, y = models.data()
    watching = [
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.ModelCheckpoint(tmp_path / "best.weights.h5", save_weights_only=True),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.History(),
        keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: None),
        _Batches(),
        kr.DeterminismCallback(tmp_path / "other"),
    ]
    small_model.fit(x, y, verbose=0, callbacks=[kr.DeterminismCallback(tmp_path / "run"), *watching])
    assert (tmp_path / "log.csv").read_text().startswith("epoch,loss")
    assert open_ledger(tmp_path / "run").fingerprint == open_ledger(tmp_path / "other").fingerprint


def test_list_of_callbacks_is_restored(small_model: Any, tmp_path: Path) -> None:
    x, y = models.data()
    callbacks = [_Batches(), kr.DeterminismCallback(tmp_path / "run")]
    given = keras.callbacks.CallbackList(list(callbacks), model=small_model, add_history=True)
    small_model.fit(x, y, verbose=0, callbacks=given)
    assert given.callbacks[:2] == callbacks
    assert [type(c).__name__ for c in given.callbacks[2:]] == ["History"]


# Logs and notes.


class _Adds(keras.callbacks.Callback):
    """Add to the logs, and replace one of the model's logs by a copy and one by another value."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["seconds"] = time.perf_counter()
        logs["mae"] = float(logs["mae"])
        logs["f1_score"] = np.array(logs["f1_score"])
        logs["mse"] = 17.0
        logs["table"] = {"a": np.zeros(3)}
        logs["text"] = "text"


def _vector_model() -> Any:
    return models.compiled(
        keras.Sequential([keras.Input((4,)), layers.Dense(2, activation="softmax")]),
        metrics=["mae", "mse", keras.metrics.F1Score()],
    )


def test_logs_of_the_model_are_separated_from_those_of_callbacks(tmp_path: Path) -> None:
    x, y = models.data()
    fingerprints = []
    for name in ("one", "two"):
        models.fresh()
        callback = kr.DeterminismCallback(tmp_path / name)
        model = _vector_model()
        model.fit(x, np.concatenate([y, 1 - y], axis=1), verbose=0, callbacks=[_Adds(), callback])
        fingerprints.append(callback.fingerprint)
    epoch = next(r for r in open_ledger(tmp_path / "one").typed_records() if r.kind == "epoch")
    assert set(epoch.metrics) == {"loss", "mae", "mse", "f1_score"}
    assert epoch.metrics["mse"] != 17.0
    assert len(epoch.metrics["f1_score"]) == 2
    assert set(epoch.added) == {"seconds", "mse", "table", "text"}
    assert epoch.added["mse"] == 17.0
    assert set(epoch.tensors["metrics"]) == {"loss", "mae", "mse", "f1_score"}
    assert fingerprints[0] == fingerprints[1]
    comparison = kr.compare(tmp_path / "one", tmp_path / "two")
    assert comparison.verdict == "identical"
    assert "log seconds, added by a callback, differs: not part of the chain" in comparison.notes


class _Quiet(layers.Layer):
    """Contain a dropout that never draws."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = layers.Dropout(0.5)

    def call(self, x: Any) -> Any:
        return self.dropout(x, training=False)


def _note_of(tmp_path: Path, prepare: Callable[[Any, int], None], *callbacks: Any) -> kr.Comparison:
    """Compare two trainings of a model that `prepare` changes by the number of the run."""
    x, y = models.data()
    for number in range(2):
        models.fresh()
        inputs = keras.Input((4,))
        hidden = _Quiet()(layers.Dense(3)(inputs))
        model = models.compiled(keras.Model(inputs, layers.Dense(1)(hidden)), run_eagerly=True)
        prepare(model, number)
        callback = kr.DeterminismCallback(tmp_path / str(number))
        model.fit(x, y, epochs=2, verbose=0, callbacks=[*callbacks, callback])
    return kr.compare(tmp_path / "0", tmp_path / "1")


def test_unseeded_dropout_without_draws_is_only_noted(tmp_path: Path) -> None:
    def prepare(model: Any, number: int) -> None:
        model.layers[2].dropout.seed_generator.state.assign([number, 0])

    comparison = _note_of(tmp_path, prepare)
    assert comparison.verdict == "identical"
    generator = "layers/2/dropout/seed_generator/state"
    note = f"seed generator {generator} differs but was never used: without effect (latent)"
    assert note in comparison.notes


def test_unseeded_unused_generator_is_only_noted(tmp_path: Path) -> None:
    def prepare(model: Any, number: int) -> None:
        holder = models.Settings()
        holder.__dict__.clear()
        holder.spare = [keras.random.SeedGenerator(number), tf.random.Generator.from_seed(number)]  # type: ignore[attr-defined]
        object.__setattr__(model, "holder", holder)

    comparison = _note_of(tmp_path, prepare)
    assert comparison.verdict == "identical"
    noted = "\n".join(comparison.notes)
    assert "holder/spare/0/state" in noted
    assert "holder/spare/1/state" in noted


def test_metrics_of_an_earlier_evaluation_are_only_noted(tmp_path: Path) -> None:
    def prepare(model: Any, number: int) -> None:
        x, y = models.data()
        model.evaluate(x[number:], y[number:], verbose=0)

    comparison = _note_of(tmp_path, prepare)
    assert comparison.verdict == "identical"
    assert any("loss_tracker/total differs by values left from before" in n for n in comparison.notes)


def test_generators_of_the_process_are_only_noted(tmp_path: Path) -> None:
    comparison = _note_of(tmp_path, lambda model, number: np.random.seed(number))
    assert comparison.verdict == "identical"
    assert any("the process's own generator (numpy) differs" in n for n in comparison.notes)


class _Stateful(layers.Layer):
    """Draw from a stateful operation, whose counter cannot be read."""

    def call(self, x: Any) -> Any:
        return x + tf.random.uniform((1,), seed=3) * 0.1


def test_stateful_random_operation_is_reported(tmp_path: Path) -> None:
    x, y = models.data()
    models.fresh()
    model = models.compiled(keras.Sequential([keras.Input((4,)), _Stateful(), layers.Dense(1)]))
    model.fit(x, y, epochs=2, verbose=0, callbacks=[kr.DeterminismCallback(tmp_path / "run")])
    epochs = [r for r in open_ledger(tmp_path / "run").typed_records() if r.kind == "epoch"]
    assert epochs[0].extra["stateful_random_operations"] == ["RandomUniform"]
    assert "stateful_random_operations" not in epochs[1].extra


# One callback for several fits, and fits that fail.


def test_several_fits_are_numbered(tmp_path: Path) -> None:
    def train(folder: Path, reference: Path | None = None) -> Any:
        models.fresh()
        callback = kr.DeterminismCallback(folder, reference=reference)
        x, y = models.data()
        for _ in range(2):
            _mlp(run_eagerly=True).fit(x, y, epochs=2, verbose=0, callbacks=[callback])
        return callback

    first = train(tmp_path / "one")
    second = train(tmp_path / "two", tmp_path / "one")
    assert first.fingerprint == second.fingerprint
    assert second.divergence is None
    positions = [r.position for r in open_ledger(tmp_path / "one").typed_records()]
    assert [p for p in positions if "birth" not in p] == [
        *("fit 0", "start 0", "epoch 0 0", "epoch 0 1", "end 0"),
        *("fit 1", "start 1", "epoch 1 0", "epoch 1 1", "end 1"),
    ]


class _Fails(keras.callbacks.Callback):
    def __init__(self) -> None:
        super().__init__()
        self.fails = True

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1 and self.fails:
            raise ZeroDivisionError


def test_failed_fit_keeps_its_records(small_model: Any, tmp_path: Path) -> None:
    x, y = models.data()
    callback, fails = kr.DeterminismCallback(tmp_path / "run"), _Fails()
    with pytest.raises(ZeroDivisionError):
        small_model.fit(x, y, epochs=3, verbose=0, callbacks=[fails, callback])
    assert callback.fingerprint.endswith("-partial")
    assert open_ledger(tmp_path / "run").status == "killed"
    fails.fails = False
    small_model.fit(x, y, epochs=2, verbose=0, callbacks=[fails, callback])
    positions = [r.position for r in open_ledger(tmp_path / "run").typed_records() if r.kind != "birth"]
    assert positions == [
        *("fit 0", "start 0", "epoch 0 0"),
        *("fit 1", "start 1", "epoch 1 0", "epoch 1 1", "end 1"),
    ]


# Resources.


def test_no_descriptor_stays_open_after_a_callback_is_deleted(small_model: Any, tmp_path: Path) -> None:
    x, y = models.data()
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    for number in range(4):
        callback = kr.DeterminismCallback(tmp_path / str(number))
        small_model.fit(x, y, verbose=0, callbacks=[callback])
    del callback
    gc.collect()
    kept = [os.path.realpath(f"/proc/self/fd/{d}") for d in set(os.listdir("/proc/self/fd")) - before]
    assert [k for k in kept if k.endswith("ledger.jsonl")] == []


class _Addresses(keras.callbacks.Callback):
    """Record the addresses of the variables' buffers in each epoch, and keep views if `hold`."""

    def __init__(self, *, hold: bool = False) -> None:
        super().__init__()
        self.seen: list[list[int]] = []
        self.hold, self.views = hold, []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        views = [memoryview(v.value.read_value()) for v in self.model.variables if v.dtype == "float32"]
        self.seen.append([np.asarray(v).__array_interface__["data"][0] for v in views])
        if self.hold:
            self.views.append(views)


def test_reading_the_state_does_not_make_the_next_step_copy(tmp_path: Path) -> None:
    def train(*callbacks: Any) -> None:
        # One layer: the gradient may still read the kernel of a second layer while it is updated.
        model = models.compiled(
            keras.Sequential([keras.Input((4,)), layers.Dense(2000)]),
            optimizer=keras.optimizers.SGD(0.001, momentum=0.5),
        )
        x, y = models.data()
        model.fit(x, y, batch_size=8, epochs=4, verbose=0, callbacks=list(callbacks))

    watched = _Addresses()
    train(watched, kr.DeterminismCallback(tmp_path / "run"))
    assert watched.seen[1] == watched.seen[2] == watched.seen[3]
    # The same training with a view kept.
    copied = _Addresses(hold=True)
    train(copied)
    assert copied.seen[1] != copied.seen[2]


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Limit the size of the files of this process, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk_does_not_end_the_training(small_files: Callable[[int], None], tmp_path: Path) -> None:
    class Fills(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if epoch == 1:
                small_files((tmp_path / "run" / "ledger.jsonl").stat().st_size + 100)

        def on_train_end(self, logs: Any = None) -> None:
            small_files(resource.RLIM_INFINITY)

    bare, _ = _fit(Mode(_mlp))
    callback = kr.DeterminismCallback(tmp_path / "run")
    with pytest.warns(UserWarning, match="recording ended at epoch 2: .*the training continues"):
        observed, history = _fit(Mode(_mlp, callbacks=lambda: [Fills()]), callback)
    assert len(history["loss"]) == 3
    assert models.weights(observed) == models.weights(bare)
    ledger = open_ledger(tmp_path / "run")
    assert [r.position for r in ledger.typed_records() if r.kind == "epoch"] == ["epoch 0 0"]
    assert callback.fingerprint == ledger.fingerprint
    assert callback.fingerprint.endswith("-partial")


def test_fit_record_describes_the_training(small_model: Any, tmp_path: Path) -> None:
    x, y = models.data()
    models.fresh(9)
    callback = kr.DeterminismCallback(tmp_path / "run", seed=9)
    small_model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[callback])
    ledger = open_ledger(tmp_path / "run")
    record: Record = next(ledger.typed_records())
    assert ledger.header["seed"] == 9
    assert ledger.header["mode"] == "observed"
    assert ledger.header["coverage"] == "sm"
    assert record.extra["seeds_set"] == {"keras": 9, "tensorflow": 9}
    assert record.extra["arguments"] == {"epochs": 2, "steps": 3}
    assert record.extra["configuration"]["model"] == "Sequential"
    assert record.extra["configuration"]["run_eagerly"] is True
