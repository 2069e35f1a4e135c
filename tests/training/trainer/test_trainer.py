"""`ReproducibleTrainer`: each run is the same training, with all arguments of `Model.fit`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas
import pytest
import scipy.sparse
import tensorflow as tf
from keras import layers
from training import models

import keras_repro as kr
from keras_repro.errors import DivergenceError, ReproError, RunFolderError, SwitchError
from keras_repro.ledger.reader import open_ledger
from keras_repro.training.data.order.permutation import permutation


def _mlp(**arguments: Any) -> Any:
    """Return a model that runs eagerly: tracing would take longer than these few steps."""
    stack = [keras.Input((4,)), layers.Dense(2), layers.Dropout(0.3), layers.Dense(1)]
    settings = {"run_eagerly": True, "metrics": ["mae"], "optimizer": keras.optimizers.SGD(0.1)} | arguments
    return models.compiled(keras.Sequential(stack), **settings)


class _Seen(keras.Model):
    """Record the first feature of each sample, in the order of training."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(1)
        object.__setattr__(self, "seen", [])

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def train_step(self, batch: Any) -> Any:
        self.seen.append(batch[0][:, 0].numpy().astype(int).tolist())
        return super().train_step(batch)


def _seen(**arguments: Any) -> Any:
    return models.compiled(_Seen(), run_eagerly=True, **arguments)


def _numbered(samples: int = 20) -> tuple[np.ndarray, np.ndarray]:
    x = np.zeros((samples, 4), "float32")
    x[:, 0] = np.arange(samples)
    return x, np.zeros((samples, 1), "float32")


def _passes(model: Any, size: int) -> list[list[int]]:
    flat = [row for batch in model.seen for row in batch]
    return [flat[start : start + size] for start in range(0, len(flat), size)]


# The order of the data.


def test_order_changes_each_epoch_unlike_that_of_seeded_keras(tmp_path: Path) -> None:
    x, y = _numbered()
    models.fresh()
    frozen = _seen()
    frozen.fit(x, y, batch_size=8, epochs=4, shuffle=True, verbose=0)
    by_keras = _passes(frozen, 20)
    assert sorted(by_keras[0]) == list(range(20)) != by_keras[0]
    assert by_keras[1:] == [by_keras[0]] * 3

    run = kr.ReproducibleTrainer(_seen, seed=42, batch_size=8).fit(
        x, y, epochs=4, verbose=0, run_dir=tmp_path / "run"
    )
    passes = _passes(run.model, 20)
    assert all(sorted(epoch) == list(range(20)) for epoch in passes)
    assert len({tuple(epoch) for epoch in passes}) == 4
    assert passes == [permutation(20, seed=42, epoch=e).tolist() for e in range(4)]
    # Literal, so that no release of a package can change it.
    assert passes[0][:6] == _FIRST_PASS
    assert [len(b) for b in run.model.seen] == [8, 8, 4] * 4


_FIRST_PASS = [8, 6, 14, 19, 4, 10]


@pytest.mark.parametrize("compiled_steps", [1, 2])
def test_shuffle_policies_determine_the_order(compiled_steps: int, tmp_path: Path) -> None:
    x, y = _numbered()
    order: dict[str, list[list[int]]] = {}
    for shuffle in ("none", "once", "every_epoch"):
        build = lambda: _seen(steps_per_execution=compiled_steps)  # noqa: E731
        trainer = kr.ReproducibleTrainer(build, seed=1, batch_size=8, shuffle=shuffle)  # type: ignore[arg-type]
        run = trainer.fit(x, y, epochs=3, verbose=0, run_dir=tmp_path / shuffle)
        order[shuffle] = _passes(run.model, 20)
    assert order["none"] == [list(range(20))] * 3
    assert order["once"] == [permutation(20, seed=1, epoch=0, shuffle="once").tolist()] * 3
    assert order["every_epoch"] == [permutation(20, seed=1, epoch=e).tolist() for e in range(3)]


def test_order_depends_on_seed(tmp_path: Path) -> None:
    x, y = _numbered()
    first = [
        _passes(
            kr.ReproducibleTrainer(_seen, seed=seed, batch_size=8)
            .fit(x, y, verbose=0, run_dir=tmp_path / str(seed))
            .model,
            20,
        )
        for seed in (1, 2)
    ]
    assert first[0] != first[1]


@pytest.mark.parametrize("compiled_steps", [1, 2])
def test_initial_epoch_has_its_own_order(compiled_steps: int, tmp_path: Path) -> None:
    x, y = _numbered()
    build = lambda: _seen(steps_per_execution=compiled_steps)  # noqa: E731
    trainer = kr.ReproducibleTrainer(build, seed=1, batch_size=8)
    run = trainer.fit(x, y, epochs=4, initial_epoch=2, verbose=0, run_dir=tmp_path / "run")
    assert _passes(run.model, 20) == [permutation(20, seed=1, epoch=e).tolist() for e in (2, 3)]
    epochs = [r.epoch for r in open_ledger(run.run_dir).typed_records() if r.kind == "epoch"]
    assert epochs == [2, 3]


@pytest.mark.parametrize(
    ("steps", "initial", "compiled_steps"), [(2, 0, 1), (5, 0, 1), (2, 1, 1), (5, 2, 1), (3, 0, 2), (4, 1, 2)]
)
def test_steps_per_epoch_continue_across_passes(
    steps: int, initial: int, compiled_steps: int, tmp_path: Path
) -> None:
    x, y = _numbered()
    build = lambda: _seen(steps_per_execution=compiled_steps)  # noqa: E731
    trainer = kr.ReproducibleTrainer(build, seed=1, batch_size=8)
    run = trainer.fit(
        x, y, epochs=3, initial_epoch=initial, steps_per_epoch=steps, verbose=0, run_dir=tmp_path / "run"
    )
    orders = [permutation(20, seed=1, epoch=e).tolist() for e in range(5)]
    batches = [order[start : start + 8] for order in orders for start in (0, 8, 16)]
    # Keras makes full calls only: 4 steps for steps_per_epoch=3 if a call makes 2.
    taken = -(-steps // compiled_steps) * compiled_steps
    assert run.model.seen == batches[initial * taken : 3 * taken]


# Arguments of fit.


@dataclass(frozen=True)
class Case:
    """Arguments of `fit`, and the model."""

    data: Callable[[], tuple[Any, Any]] = models.data
    build: Callable[[], Any] = _mlp
    arguments: Callable[[], dict[str, Any]] = dict
    batch_size: int = 8
    like_keras: bool = True


def _two_inputs(as_dict: bool) -> Callable[[], Any]:
    def build() -> Any:
        inputs = {n: keras.Input((4,), name=n) for n in ("a", "b")}
        joined = layers.Concatenate()([layers.Dense(2)(inputs["a"]), inputs["b"]])
        outputs = layers.Dropout(0.2)(layers.Dense(1)(joined))
        given = inputs if as_dict else list(inputs.values())
        return models.compiled(keras.Model(given, outputs), run_eagerly=True)

    return build


def _two_outputs() -> Any:
    inputs = keras.Input((4,))
    outputs = {"p": layers.Dense(1, name="p")(inputs), "q": layers.Dense(1, name="q")(inputs)}
    model = keras.Model(inputs, outputs)
    return models.compiled(model, loss={"p": "mse", "q": "mae"}, run_eagerly=True)


def _dicts() -> tuple[Any, Any]:
    x, y = models.data()
    return {"a": x, "b": x[::-1].copy()}, y


def _lists() -> tuple[Any, Any]:
    x, y = models.data()
    return [x, x[::-1].copy()], y


def _targets() -> tuple[Any, Any]:
    x, y = models.data()
    return x, {"p": y, "q": 1 - y}


def _frames() -> tuple[Any, Any]:
    x, y = models.data()
    return pandas.DataFrame(x, columns=list("abcd")), pandas.Series(y[:, 0])


def _tensors() -> tuple[Any, Any]:
    x, y = models.data()
    return tf.constant(x), tf.constant(y)


def _sparse_model() -> Any:
    return models.compiled(
        keras.Sequential([keras.Input((4,), sparse=True), layers.Dense(1)]), run_eagerly=True
    )


def _weights() -> np.ndarray:
    return np.linspace(0.1, 2.0, 24).astype("float32")


def _held_out(count: int) -> tuple[Any, ...]:
    x, y = models.data(10)
    return (x, y, np.linspace(0.1, 1.0, 10))[:count]


CASES = {
    "arrays": Case(),
    "partial last batch": Case(batch_size=7),
    "batch larger than the data": Case(batch_size=100),
    "one sample a batch": Case(data=lambda: models.data(5), batch_size=1),
    "dict of inputs": Case(_dicts, _two_inputs(True)),
    "list of inputs": Case(_lists, _two_inputs(False)),
    "several outputs": Case(_targets, _two_outputs),
    "sample_weight": Case(arguments=lambda: {"sample_weight": _weights()}),
    "class_weight": Case(
        build=lambda: _mlp(loss="binary_crossentropy"), arguments=lambda: {"class_weight": {0: 1.0, 1: 3.0}}
    ),
    "validation_split": Case(arguments=lambda: {"validation_split": 0.3, "sample_weight": _weights()}),
    "validation_data": Case(arguments=lambda: {"validation_data": _held_out(2)}),
    "validation_data with weights": Case(
        arguments=lambda: {"validation_data": _held_out(3), "validation_freq": 2, "validation_batch_size": 3}
    ),
    "validation of a dataset": Case(
        arguments=lambda: {
            "validation_data": tf.data.Dataset.from_tensors(_held_out(2)),
            "validation_steps": 1,
        }
    ),
    "initial_epoch": Case(arguments=lambda: {"initial_epoch": 1}),
    # Keras itself runs out of data in the second of such epochs.
    "fewer steps than a pass": Case(arguments=lambda: {"steps_per_epoch": 2}, like_keras=False),
    "as many steps as a pass": Case(arguments=lambda: {"steps_per_epoch": 3}),
    "more steps than a pass": Case(arguments=lambda: {"steps_per_epoch": 4}, like_keras=False),
    "several steps a call": Case(build=lambda: _mlp(steps_per_execution=2, run_eagerly=False), batch_size=6),
    "several steps a call, one left": Case(build=lambda: _mlp(steps_per_execution=2, run_eagerly=False)),
    "several steps a call, a part of a pass": Case(
        build=lambda: _mlp(steps_per_execution=2, run_eagerly=False),
        arguments=lambda: {"steps_per_epoch": 3},
        batch_size=4,
        like_keras=False,
    ),
    "one callback": Case(
        arguments=lambda: {"callbacks": keras.callbacks.LearningRateScheduler(lambda e, r: r / 2)}
    ),
    "a list of callbacks": Case(
        arguments=lambda: {"callbacks": [keras.callbacks.EarlyStopping("loss", restore_best_weights=True)]}
    ),
    "pandas": Case(_frames),
    "tensors": Case(_tensors),
    "sparse rows": Case(lambda: (scipy.sparse.csr_matrix(models.data()[0]), models.data()[1]), _sparse_model),
    "sparse triples": Case(
        lambda: (scipy.sparse.coo_matrix(models.data()[0]), models.data()[1]), _sparse_model
    ),
    "compiled": Case(build=lambda: _mlp(run_eagerly=False)),
}


def _two_runs(case: Case, shuffle: Any, tmp_path: Path) -> list[kr.Run]:
    x, y = case.data()
    trainer = kr.ReproducibleTrainer(case.build, seed=42, batch_size=case.batch_size, shuffle=shuffle)
    runs = [
        trainer.fit(x, y, epochs=2, verbose=0, run_dir=tmp_path / str(n), **case.arguments())
        for n in range(2)
    ]
    assert runs[0].fingerprint == runs[1].fingerprint == open_ledger(runs[0].ledger).fingerprint
    assert runs[0].fingerprint.startswith("kr1-smo-")
    assert runs[0].history == runs[1].history
    assert models.weights(runs[0].model) == models.weights(runs[1].model)
    return runs


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.like_keras])
def test_two_fits_are_equal_and_without_shuffle_equal_to_keras(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    run = _two_runs(case, "none", tmp_path)[0]
    keras.backend.clear_session()
    keras.utils.set_random_seed(42)
    plain = case.build()
    x, y = case.data()
    arguments = {"batch_size": case.batch_size, "validation_batch_size": case.batch_size} | case.arguments()
    if isinstance(arguments.get("validation_data"), tf.data.Dataset):
        del arguments["validation_batch_size"]
    history = plain.fit(x, y, epochs=2, shuffle=False, verbose=0, **arguments)
    assert run.history == history.history
    assert models.weights(run.model) == models.weights(plain)


_SHUFFLED = [
    n for n, c in CASES.items() if not c.like_keras or n in ("arrays", "dict of inputs", "sparse rows")
]


@pytest.mark.parametrize("name", _SHUFFLED)
def test_two_shuffled_fits_are_equal(name: str, tmp_path: Path) -> None:
    runs = _two_runs(CASES[name], "every_epoch", tmp_path)
    epochs = [r for r in open_ledger(runs[0].ledger).typed_records() if r.kind == "epoch"]
    assert len({r.sections["order"] for r in epochs}) == len(epochs) == 2


def test_callback_list_of_keras_is_accepted(tmp_path: Path) -> None:
    x, y = models.data()
    seen: list[int] = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    fingerprints = []
    for number in range(2):
        given = keras.callbacks.CallbackList([callback], add_history=True)
        run = kr.ReproducibleTrainer(_mlp, seed=42, batch_size=8).fit(
            x, y, epochs=2, verbose=0, callbacks=given, run_dir=tmp_path / str(number)
        )
        fingerprints.append(run.fingerprint)
        assert given.callbacks[0] is callback
        assert [type(c).__name__ for c in given.callbacks] == ["LambdaCallback", "History"]
        assert len(run.history["loss"]) == 2
    assert seen == [0, 1, 0, 1]
    assert fingerprints[0] == fingerprints[1]


def test_progress_is_shown_like_in_keras(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = models.data()
    trainer = kr.ReproducibleTrainer(_mlp, seed=42, batch_size=8)
    trainer.fit(x, y, epochs=2, verbose=2, run_dir=tmp_path / "run")
    shown = capsys.readouterr().out
    assert "Epoch 2/2" in shown
    assert "3/3 - " in shown


# Streams.


class _Batches(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        x, y = models.data()
        return x[index * 8 : index * 8 + 8], y[index * 8 : index * 8 + 8]


@pytest.mark.parametrize(
    ("kind", "make", "coverage", "order"),
    [
        (
            "tf.data",
            lambda: tf.data.Dataset.from_tensor_slices(models.data()).batch(8),
            "kr1-sm-",
            "not ours",
        ),
        ("PyDataset", _Batches, "kr1-smo-", "keras_repro"),
    ],
)
def test_streams_are_accepted_and_py_datasets_are_ordered(
    kind: str, make: Callable[[], Any], coverage: str, order: str, tmp_path: Path
) -> None:
    trainer = kr.ReproducibleTrainer(_mlp, seed=42, batch_size=8, shuffle="none")
    runs = [trainer.fit(make(), epochs=2, verbose=0, run_dir=tmp_path / str(n)) for n in range(2)]
    assert runs[0].fingerprint == runs[1].fingerprint
    assert runs[0].fingerprint.startswith(coverage)
    fit = next(open_ledger(runs[0].ledger).typed_records())
    assert fit.extra["data"] == {"kind": kind, "order": order}


def test_description_distinguishes_arrays(tmp_path: Path) -> None:
    x, y = models.data()
    trainer = kr.ReproducibleTrainer(_mlp, seed=42, batch_size=8, shuffle="none")
    described = [
        next(
            open_ledger(trainer.fit(a, b, verbose=0, run_dir=tmp_path / str(n)).ledger).typed_records()
        ).extra["data"]
        for n, (a, b) in enumerate([(x, y), (x[::-1].copy(), y[::-1].copy()), (x + 1, y)])
    ]
    assert {d["order"] for d in described} == {"keras_repro"}
    assert described[0]["samples"] == 24
    assert described[0]["rows"] == described[1]["rows"] != described[2]["rows"]
    assert len({d["digest"] for d in described}) == 3


# Builders and results.


class _Subclass(kr.ReproducibleTrainer):
    """A trainer that builds its model."""

    units = 3

    def build_model(self) -> keras.Model:
        return models.compiled(
            keras.Sequential([keras.Input((4,)), layers.Dense(self.units), layers.Dense(1)])
        )


def test_subclass_builds_its_model(tmp_path: Path) -> None:
    x, y = models.data()
    trainer = _Subclass(seed=1, batch_size=8)
    run = trainer.fit(x, y, verbose=0, run_dir=tmp_path / "run")
    assert run.model is trainer.model
    assert run.model.layers[0].kernel.shape == (4, 3)


def test_builder_is_called_for_each_run_after_seeding(tmp_path: Path) -> None:
    x, y = models.data()
    made: list[Any] = []

    def build() -> Any:
        made.append(np.random.random())
        return _mlp()

    for _ in range(3):
        layers.Dense(2)
    trainer = kr.ReproducibleTrainer(build, seed=42, batch_size=8)
    runs = [trainer.fit(x, y, verbose=0, run_dir=tmp_path / str(n)) for n in range(2)]
    assert made[0] == made[1] == np.random.RandomState(42).random_sample()
    assert [r.model.layers[0].name for r in runs] == ["dense", "dense"]
    assert runs[0].model is not runs[1].model


def test_run_is_frozen_and_knows_its_folder(tmp_path: Path) -> None:
    x, y = models.data()
    run = kr.ReproducibleTrainer(_mlp, seed=42, batch_size=8, shuffle="none").fit(
        x, y, epochs=2, verbose=0, run_dir=tmp_path / "run"
    )
    with pytest.raises(dataclasses.FrozenInstanceError):
        run.fingerprint = "another"  # type: ignore[misc]
    assert run.run_dir == tmp_path / "run"
    assert run.ledger == tmp_path / "run" / "ledger.jsonl"
    assert (run.status, run.divergence) == ("finished", None)
    assert {n: len(v) for n, v in run.history.items()} == {"loss": 2, "mae": 2}
    header = open_ledger(run.ledger).header
    assert (header["seed"], header["policies"]) == (42, {"batch_size": 8, "shuffle": "none"})
    determinism = next(s for s in header["switches"] if s["name"] == "op_determinism")
    assert (determinism["requested"], determinism["achieved"], determinism["ok"]) == (True, True, True)


def test_default_run_folders_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    x, y = models.data()
    trainer = kr.ReproducibleTrainer(_mlp, seed=42, batch_size=8, shuffle="none")
    folders = [str(trainer.fit(x, y, verbose=0).run_dir) for _ in range(2)]
    assert folders == [".keras_repro/trainer-1", ".keras_repro/trainer-2"]
    assert (tmp_path / ".keras_repro" / ".gitignore").read_text() == "*\n"


def test_evaluate_and_predict_use_the_batch_size(tmp_path: Path) -> None:
    x, y = models.data()
    trainer = kr.ReproducibleTrainer(_mlp, seed=42, batch_size=8, shuffle="none")
    with pytest.raises(ReproError, match="nothing to evaluate: call fit first"):
        trainer.evaluate(x, y)
    with pytest.raises(ReproError, match="nothing to predict: call fit first"):
        trainer.predict(x)
    run = trainer.fit(x, y, verbose=0, run_dir=tmp_path / "run")
    expected = run.model.evaluate(x, y, batch_size=8, verbose=0, return_dict=True)
    assert trainer.evaluate(x, y, verbose=0, return_dict=True) == expected
    outputs = trainer.predict(x, verbose=0)
    assert np.array_equal(outputs, run.model.predict(x, batch_size=8, verbose=0))
    dataset = tf.data.Dataset.from_tensor_slices(models.data()).batch(8)
    assert trainer.evaluate(dataset, verbose=0, return_dict=True) == expected
    with pytest.raises(TypeError, match="batch_size is fixed by the trainer"):
        trainer.predict(x, batch_size=3)


# Comparison.


def test_run_is_compared_live_with_reference(tmp_path: Path) -> None:
    x, y = models.data()
    trainer = kr.ReproducibleTrainer(_mlp, seed=42, batch_size=8, shuffle="none")
    trainer.fit(x, y, epochs=3, verbose=0, run_dir=tmp_path / "one")
    same = trainer.fit(x, y, epochs=3, verbose=0, run_dir=tmp_path / "two", reference=tmp_path / "one")
    assert (same.status, same.divergence) == ("finished", None)

    def spoil(epoch: int, logs: Any) -> None:
        if epoch == 1:
            models.flip_bit(models.named(trainer.model, "layers/0/kernel").variable)

    def spoiled(**more: Any) -> kr.Run:
        callback = keras.callbacks.LambdaCallback(on_epoch_end=spoil)
        return trainer.fit(x, y, epochs=3, verbose=0, callbacks=callback, reference=tmp_path / "one", **more)

    with pytest.warns(UserWarning, match="diverged from the reference at epoch 2/3: weights differ"):
        run = spoiled(run_dir=tmp_path / "three")
    assert run.status == "stopped"
    assert run.fingerprint.endswith("-partial")
    assert len(run.history["loss"]) == 2
    assert run.divergence is not None
    assert run.divergence.tensors == ({"section": "weights", "tensor": "layers/0/kernel"},)
    with pytest.raises(DivergenceError, match="at epoch 2/3"):
        spoiled(run_dir=tmp_path / "four", on_divergence="raise")


def test_verify_reports_reproducible_training_as_identical(tmp_path: Path) -> None:
    x, y = models.data()
    trainer = kr.ReproducibleTrainer(_mlp, seed=42, batch_size=8)
    comparison = trainer.verify(x, y, epochs=2, run_dir=tmp_path / "check")
    assert comparison.verdict == "identical"
    assert len(comparison.runs) == 3
    assert len({r["fingerprint"] for r in comparison.runs}) == 1
    assert sorted(p.name for p in (tmp_path / "check").iterdir()) == ["run-1", "run-2", "run-3"]


def _stray() -> Any:
    model = _mlp()
    model.layers[2].bias.assign([int.from_bytes(os.urandom(4)) / 2**32])
    return model


def test_verify_reports_the_divergence_of_two_runs(tmp_path: Path) -> None:
    x, y = models.data()
    comparison = kr.ReproducibleTrainer(_stray, seed=42, batch_size=8, shuffle="none").verify(
        x, y, runs=2, run_dir=tmp_path / "check"
    )
    assert comparison.verdict == "diverged"
    assert comparison.divergence is not None
    assert comparison.divergence.tensors == ({"section": "weights", "tensor": "layers/2/bias"},)
    assert (comparison.divergence.epoch, comparison.divergence.cause) == (None, "initial_weights")


# Wrong arguments.


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": -1}, ValueError, "seed must be a whole number from 0 to 4294967295, received -1"),
        ({"seed": 2**32}, ValueError, r"seed must be .*, received 4294967296"),
        ({"seed": 1.5}, ValueError, r"seed must be .*, received 1.5"),
        ({"seed": True}, ValueError, r"seed must be .*, received True"),
        ({"seed": None}, ValueError, r"seed must be .*, received None"),
        ({"batch_size": 0}, ValueError, "batch_size must be a whole number from 1, received 0"),
        ({"batch_size": "8"}, ValueError, "batch_size must be a whole number from 1, received '8'"),
        (
            {"shuffle": True},
            ValueError,
            "shuffle must be one of 'every_epoch', 'once', 'none', received True",
        ),
        ({"build_or_model": 3}, TypeError, "a function that returns a compiled model, .* received int"),
        (
            {"build_or_model": None},
            TypeError,
            "build_or_model is missing: pass a function or a model, or override",
        ),
        (
            {"switches": {"threads": 2}},
            SwitchError,
            "there is no switch 'threads'; the switches are: hash_seed",
        ),
        (
            {"switches": {"op_determinism": "yes"}},
            SwitchError,
            "op_determinism: expected True or False.*got 'yes'",
        ),
    ],
)
def test_wrong_arguments_of_trainer_are_refused(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        kr.ReproducibleTrainer(**{"build_or_model": _mlp, "seed": 42, "batch_size": 8} | arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"batch_size": 3},
            TypeError,
            "batch_size is fixed by the trainer: pass it to ReproducibleTrainer, not to fit",
        ),
        ({"shuffle": False}, TypeError, "shuffle is fixed by the trainer: pass it to ReproducibleTrainer"),
        ({"epoch": 3}, TypeError, "fit got an unexpected argument 'epoch'"),
        (
            {"on_divergence": "no"},
            ValueError,
            "on_divergence must be one of 'stop', 'raise', 'warn', received 'no'",
        ),
        ({"epochs": "3"}, ValueError, "epochs must be a whole number from 0, received '3'"),
        ({"epochs": 2.5}, ValueError, "epochs must be a whole number from 0, received 2.5"),
        ({"initial_epoch": -1}, ValueError, "initial_epoch must be a whole number from 0, received -1"),
        ({"steps_per_epoch": 0}, ValueError, "steps_per_epoch must be a whole number from 1, received 0"),
        (
            {"validation_split": 1.5},
            ValueError,
            "validation_split must be a share from 0 to less than 1, received 1.5",
        ),
    ],
)
def test_wrong_arguments_of_fit_are_refused(arguments: Any, error: Any, message: str, tmp_path: Path) -> None:
    x, y = models.data()
    trainer = kr.ReproducibleTrainer(_mlp, seed=42, batch_size=8, shuffle="none")
    with pytest.raises(error, match=message):
        trainer.fit(x, y, run_dir=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_result_of_builder_is_checked(tmp_path: Path) -> None:
    x, y = models.data()
    with pytest.raises(TypeError, match=r"the builder must return a keras.Model, returned NoneType"):
        kr.ReproducibleTrainer(lambda: None, seed=1, batch_size=8).fit(x, y, run_dir=tmp_path / "a")  # type: ignore[arg-type,return-value]
    bare = lambda: keras.Sequential([keras.Input((4,)), layers.Dense(1)])  # noqa: E731
    with pytest.raises(ReproError, match=r"the builder returns is not compiled: call model.compile"):
        kr.ReproducibleTrainer(bare, seed=1, batch_size=8).fit(x, y, run_dir=tmp_path / "b")
    with pytest.raises(ReproError, match=r"the model is not compiled: call model.compile"):
        kr.ReproducibleTrainer(bare(), seed=1, batch_size=8)


@pytest.mark.parametrize("runs", [1, 0, 2.5, None])
def test_verify_needs_two_runs(runs: Any) -> None:
    with pytest.raises(ValueError, match=f"runs must be a whole number from 2, received {runs}"):
        kr.ReproducibleTrainer(_mlp, seed=1, batch_size=8, shuffle="none").verify(*models.data(), runs=runs)


def test_arrays_of_unequal_length_are_refused_by_keras(tmp_path: Path) -> None:
    x, y = models.data()
    trainer = kr.ReproducibleTrainer(_mlp, seed=1, batch_size=8, shuffle="none")
    with pytest.raises(ValueError, match="cardinality"):
        trainer.fit(x, y[:-1], verbose=0, run_dir=tmp_path / "a")
    with pytest.raises(ValueError, match="x holds no samples"):
        trainer.fit(x[:0], y[:0], verbose=0, run_dir=tmp_path / "b")


def test_existing_run_is_not_replaced(tmp_path: Path) -> None:
    x, y = models.data()
    trainer = kr.ReproducibleTrainer(_mlp, seed=1, batch_size=8, shuffle="none")
    first = trainer.fit(x, y, verbose=0, run_dir=tmp_path / "run")
    before = first.ledger.read_bytes()
    with pytest.raises(RunFolderError, match="holds a run already"):
        trainer.fit(x, y, verbose=0, run_dir=tmp_path / "run")
    assert first.ledger.read_bytes() == before
    again = trainer.fit(x, y, verbose=0, run_dir=tmp_path / "run", overwrite=True)
    assert again.fingerprint == first.fingerprint


def test_failed_fit_leaves_a_stopped_run(tmp_path: Path) -> None:
    def fail(epoch: int, logs: Any) -> None:
        if epoch == 1:
            raise ZeroDivisionError

    x, y = models.data()
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=fail)
    trainer = kr.ReproducibleTrainer(_mlp, seed=1, batch_size=8, shuffle="none")
    with pytest.raises(ZeroDivisionError):
        trainer.fit(x, y, epochs=3, verbose=0, callbacks=callback, run_dir=tmp_path / "run")
    ledger = open_ledger(tmp_path / "run")
    assert ledger.status == "stopped"
    assert [r.kind for r in ledger.typed_records() if r.kind != "birth"] == ["fit", "start", "epoch", "end"]


# Switches that are set too late.


def test_late_switch_is_an_error_with_the_fix() -> None:
    tf.zeros(1)
    with pytest.raises(
        SwitchError, match=r"switch intra_op_threads: 7 was requested after TensorFlow's runtime"
    ) as caught:
        kr.ReproducibleTrainer(_mlp, seed=1, batch_size=8, switches={"intra_op_threads": 7})
    assert "start with: TF_NUM_INTRAOP_THREADS=7 python" in str(caught.value)


def test_late_switch_is_a_recorded_warning_without_strict(tmp_path: Path) -> None:
    x, y = models.data()
    with pytest.warns(UserWarning, match="switch intra_op_threads: 7 was requested"):
        trainer = kr.ReproducibleTrainer(
            _mlp, seed=1, batch_size=8, switches={"intra_op_threads": 7}, strict=False
        )
    run = trainer.fit(x, y, verbose=0, run_dir=tmp_path / "run")
    switch = next(s for s in open_ledger(run.ledger).header["switches"] if s["name"] == "intra_op_threads")
    assert (switch["requested"], switch["ok"]) == (7, False)
    assert "TF_NUM_INTRAOP_THREADS=7" in switch["fix"]
