"""Initial values of variables, also of those that Keras creates inside the first step."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from training import models

import keras_repro as kr
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Record
from keras_repro.storage.digest import array_digest
from keras_repro.training.state import initial_values
from keras_repro.training.state.digests import content_of, digests_of
from keras_repro.training.state.walk import model_state


def test_initial_value_of_an_eager_variable_is_kept() -> None:
    with initial_values.watch(keep_values=True) as initial:
        variable = keras.Variable([1.0, 2.0])
        first = content_of(variable._value)
        variable.assign([3.0, 4.0])
    assert initial.digest(variable._value) == first != content_of(variable._value)
    assert initial.values[id(variable._value)].tolist() == [1.0, 2.0]


def test_initial_values_from_a_traced_step_are_kept() -> None:
    made: dict[str, Any] = {}

    @tf.function
    def step() -> Any:
        if not made:
            made["keras"] = keras.Variable([1.0, 2.0])
            made["tensorflow"] = tf.Variable([5.0])
        made["tensorflow"].assign_add([1.0])
        return made["keras"].assign_add([1.0, 1.0])

    with initial_values.watch(keep_values=True) as initial:
        step()
    assert initial.values[id(made["keras"]._value)].tolist() == [1.0, 2.0]
    assert made["keras"].numpy().tolist() == [2.0, 3.0]
    assert initial.values[id(made["tensorflow"])].tolist() == [5.0]
    assert made["tensorflow"].numpy().tolist() == [6.0]


def test_variable_created_in_another_thread_is_watched() -> None:
    made = []
    with initial_values.watch() as initial:
        thread = threading.Thread(target=lambda: made.append(keras.Variable(1.0)))
        thread.start()
        thread.join()
    assert initial.digest(made[0]._value) is not None


def test_variables_are_watched_only_between_start_and_stop() -> None:
    before = keras.Variable(1.0)
    outer = initial_values.start()
    with initial_values.watch() as inner:
        both = keras.Variable(1.0)
    outer_only = keras.Variable(1.0)
    initial_values.stop(outer)
    initial_values.stop(outer)
    neither = keras.Variable(1.0)
    seen = [
        [b.digest(v._value) is not None for v in (before, both, outer_only, neither)] for b in (outer, inner)
    ]
    assert seen == [[False, True, True, False], [False, True, False, False]]
    outer.forget()
    assert outer.digest(both._value) is None


def test_error_in_the_block_stops_the_watching() -> None:
    with pytest.raises(ZeroDivisionError), initial_values.watch() as initial:
        raise ZeroDivisionError
    assert initial.digest(keras.Variable(1.0)._value) is None


def test_unreferenced_watcher_is_deleted() -> None:
    gc.collect()
    count = len(initial_values._watching)
    initial = initial_values.start()
    assert len(initial_values._watching) == count + 1
    del initial
    gc.collect()
    assert len(initial_values._watching) == count


def _records(folder: Path) -> dict[str, Record]:
    return {r.position: r for r in open_ledger(folder).typed_records()}


def _train(build: Any, folder: Path, seed: int = 5) -> Any:
    models.fresh(seed)
    model = build()
    x, y = models.data()
    model.fit(x, y, batch_size=8, verbose=0, callbacks=[kr.DeterminismCallback(folder)])
    return model


def test_unbuilt_model_has_the_initial_values_of_the_built_one(tmp_path: Path) -> None:
    _train(models.unbuilt_sequential, tmp_path / "run")
    records = _records(tmp_path / "run")
    models.fresh()
    built = models.unbuilt_sequential()
    built.build((None, 4))
    built.optimizer.build(built.trainable_variables)
    expected = digests_of(model_state(built))
    initial = records["birth 0 0"].tensors
    assert initial["weights"] == expected["weights"]
    assert list(initial["weights"]) == [
        "layers/0/bias",
        "layers/0/kernel",
        "layers/2/bias",
        "layers/2/kernel",
    ]
    slots = {n: d for n, d in expected["optimizer"].items() if "momentums" in n or "velocities" in n}
    assert len(slots) == 8
    assert {n: initial["optimizer"][n] for n in slots} == slots
    # After the epoch they differ from their initial values.
    assert records["epoch 0 0"].tensors["weights"] != initial["weights"]


def test_initial_values_of_the_slots_of_a_gan_are_recorded(tmp_path: Path) -> None:
    _train(models.gan, tmp_path / "run")
    records = _records(tmp_path / "run")
    name = "d_optimizer/momentums/discriminator/layers/0/kernel"
    zeros = np.zeros((4, 3), "float32")
    assert records["birth 0 0"].tensors["optimizer"][name] == array_digest(name, zeros)
    assert name not in records["start 0"].tensors["optimizer"]


@pytest.mark.parametrize("build", [models.unbuilt_sequential, models.subclassed, models.gan])
def test_unseeded_models_diverge_before_the_first_epoch(build: Any, tmp_path: Path) -> None:
    _train(build, tmp_path / "a", seed=5)
    _train(build, tmp_path / "b", seed=6)
    comparison = kr.compare(tmp_path / "a", tmp_path / "b")
    divergence = comparison.divergence
    assert comparison.verdict == "diverged"
    assert divergence is not None
    assert (divergence.kind, divergence.epoch, divergence.cause) == ("birth", None, "initial_weights")
    assert divergence.section == "weights"
    assert str(divergence.tensor).endswith("kernel")
    assert "before the first epoch: initial weights differ" in divergence.describe()
    # Biases and slots start as zeros: they are new, and do not differ.
    assert all(t["tensor"].endswith("kernel") and t["section"] == "weights" for t in divergence.tensors)


class _Grows(keras.callbacks.Callback):
    """Add a layer to the model between two epochs."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            self.model.settings.grown = layers.Dense(2)
            self.model.settings.grown.build((None, 4))


def test_initial_values_of_a_layer_added_during_training_are_recorded(tmp_path: Path) -> None:
    def train(folder: Path, layer_seed: int) -> None:
        models.fresh()
        model = models.with_plain_object()
        x, y = models.data()
        keras.utils.set_random_seed(layer_seed)
        callbacks = [_Grows(), kr.DeterminismCallback(folder)]
        model.fit(x, y, batch_size=24, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)

    train(tmp_path / "a", 1)
    train(tmp_path / "again", 1)
    assert "settings/grown/kernel" in _records(tmp_path / "a")["birth 0 1"].tensors["weights"]
    assert kr.compare(tmp_path / "a", tmp_path / "again").verdict == "identical"
