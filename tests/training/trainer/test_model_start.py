"""A live model as the initial state of each run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from training import models

import keras_repro as kr
from keras_repro.determinism.tf_runtime import set_op_determinism
from keras_repro.ledger.reader import open_ledger
from keras_repro.storage.digest import array_digest
from keras_repro.training.state.walk import model_state


@pytest.fixture(scope="module", autouse=True)
def _restore_op_determinism() -> Iterator[None]:
    yield
    set_op_determinism(False)


def _eager(model: Any) -> Any:
    model.run_eagerly = True
    return model


def _called(model: Any) -> Any:
    model(models.data()[0])
    return model


def _grown_gan() -> Any:
    model = models.gan()
    model.generator.build((None, 2))
    model.discriminator.build((None, 4))
    model.built = True
    return model


def _compiled_again() -> Any:
    model = models.sequential()
    model.compile(keras.optimizers.RMSprop(0.01), "mae", metrics=["mse"], jit_compile=False)
    return model


@pytest.mark.parametrize(
    "build",
    [
        models.functional,
        lambda: _eager(models.unbuilt_sequential()),
        models.unbuilt_sequential,
        lambda: _eager(_called(models.subclassed())),
        lambda: _eager(models.gan()),
        models.gan,
        lambda: _eager(_grown_gan()),
        lambda: _eager(models.own_noise()),
        lambda: _eager(models.with_plain_object()),
        lambda: _eager(_compiled_again()),
    ],
    ids=[
        "functional",
        "unbuilt, eager",
        "unbuilt, traced",
        "subclassed",
        "gan, eager",
        "gan, traced",
        "gan with built nets",
        "own noise",
        "plain object",
        "compiled again",
    ],
)
def test_each_fit_is_the_same_training(build: Callable[[], Any], tmp_path: Path) -> None:
    models.fresh(9)
    model = build()
    x, y = models.data()
    given = (x, y) if not isinstance(model, models.Gan) else (x,)
    trainer = kr.ReproducibleTrainer(model, seed=42, batch_size=8, shuffle="none")
    runs = [trainer.fit(*given, epochs=2, verbose=0, run_dir=tmp_path / str(n)) for n in range(2)]
    assert runs[0].model is runs[1].model is model
    assert runs[0].fingerprint == runs[1].fingerprint, kr.compare(tmp_path / "0", tmp_path / "1").divergence
    assert kr.compare(tmp_path / "0", tmp_path / "1").verdict == "identical"
    assert runs[0].history == runs[1].history


def test_present_weights_are_the_start_without_clear_session(tmp_path: Path) -> None:
    models.fresh(9)
    layers.Dense(2)
    model = _eager(models.functional())
    model.layers[1].kernel.assign(np.full((4, 3), 0.25, "float32"))
    names = [layer.name for layer in model.layers]
    paths = [v.path for v in model.variables]
    x, y = models.data()
    trainer = kr.ReproducibleTrainer(model, seed=42, batch_size=8)
    run = trainer.fit(x, y, verbose=0, run_dir=tmp_path / "run")
    assert [layer.name for layer in run.model.layers] == names
    assert [v.path for v in run.model.variables] == paths
    # After clear_session, names would be counted from the first again.
    assert layers.Dense(2).name not in names
    start = next(r for r in open_ledger(run.ledger).typed_records() if r.kind == "start")
    name = "layers/1/kernel"
    assert start.tensors["weights"][name] == array_digest(name, np.full((4, 3), 0.25, "float32"))


def test_optimizer_state_is_part_of_the_start(tmp_path: Path) -> None:
    models.fresh(9)
    x, y = models.data()
    model = _eager(models.sequential())
    model.fit(x, y, verbose=0)
    before = {t.name: t.variable.numpy() for t in model_state(model) if t.section == "optimizer"}
    assert before["optimizer/iterations"] == 1
    trainer = kr.ReproducibleTrainer(model, seed=42, batch_size=8)
    trainer.fit(x, y, verbose=0, run_dir=tmp_path / "0")
    run = trainer.fit(x, y, verbose=0, run_dir=tmp_path / "1")
    assert int(model.optimizer.iterations) == 4
    start = next(r for r in open_ledger(run.ledger).typed_records() if r.kind == "start")
    assert start.tensors["optimizer"] == {n: array_digest(n, v) for n, v in before.items()}


def test_seed_generators_are_set_by_their_names(tmp_path: Path) -> None:
    models.fresh(9)
    model = _eager(models.nested())
    object.__setattr__(model, "own", [tf.random.Generator.from_seed(1)])
    for tensor in model_state(model):
        if tensor.section == "seeds" and "own" not in tensor.name:
            tensor.variable.assign([123, 45])
    trainer = kr.ReproducibleTrainer(model, seed=42, batch_size=8)
    run = trainer.fit(*models.data(), verbose=0, run_dir=tmp_path / "run")
    start = next(r for r in open_ledger(run.ledger).typed_records() if r.kind == "start")
    name = "layers/1/layers/0/layers/1/seed_generator"
    value = np.array([kr.derive(42, name), 0], models.named(model, f"{name}/state").variable.dtype.name)
    assert start.latent["seeds"][f"{name}/state"] == array_digest(f"{name}/state", value)
    expected = tf.random.Generator.from_seed(kr.derive(42, "own/0")).state.numpy()
    assert start.latent["seeds"]["own/0/state"] == array_digest("own/0/state", expected)


def test_seed_changes_the_training_but_not_the_start(tmp_path: Path) -> None:
    models.fresh(9)
    model = _eager(models.functional())
    x, y = models.data()
    for seed in (1, 2):
        trainer = kr.ReproducibleTrainer(model, seed=seed, batch_size=8)
        trainer.fit(x, y, verbose=0, run_dir=tmp_path / str(seed))
        trainer._start.restore(seed, lambda: None)  # type: ignore[union-attr]
    starts = [
        next(r for r in open_ledger(tmp_path / str(seed)).typed_records() if r.kind == "start")
        for seed in (1, 2)
    ]
    assert starts[0].sections["weights"] == starts[1].sections["weights"]
    divergence = kr.compare(tmp_path / "1", tmp_path / "2").divergence
    assert divergence is not None
    assert (divergence.epoch, divergence.section, divergence.cause) == (0, "order", "data_order")


class _GlobalNoise(layers.Layer):
    """Draw from Keras's global generator, which the first fit creates."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x + keras.random.normal((4,)) if training else x


def test_global_generator_is_reset_for_each_run(tmp_path: Path) -> None:
    models.fresh(9)
    model = models.compiled(
        keras.Sequential([keras.Input((4,)), _GlobalNoise(), layers.Dense(1)]), run_eagerly=True
    )
    trainer = kr.ReproducibleTrainer(model, seed=42, batch_size=8)
    runs = [trainer.fit(*models.data(), verbose=0, run_dir=tmp_path / str(n)) for n in range(3)]
    assert len({r.fingerprint for r in runs}) == 1


def test_verify_accepts_a_live_model(tmp_path: Path) -> None:
    models.fresh(9)
    trainer = kr.ReproducibleTrainer(_eager(models.functional()), seed=42, batch_size=8)
    comparison = trainer.verify(*models.data(), runs=2, run_dir=tmp_path / "check")
    assert comparison.verdict == "identical"
    assert len(comparison.runs) == 2


def test_live_model_is_evaluated_before_first_fit() -> None:
    models.fresh(9)
    model = _eager(models.functional())
    x, y = models.data()
    trainer = kr.ReproducibleTrainer(model, seed=42, batch_size=8)
    assert trainer.evaluate(x, y, verbose=0) == model.evaluate(x, y, batch_size=8, verbose=0)
