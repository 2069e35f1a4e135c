"""What variables held when they were born, also those that Keras makes inside the first step."""

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


def test_a_variable_made_eagerly() -> None:
    with initial_values.watch(keep_values=True) as born:
        variable = keras.Variable([1.0, 2.0])
        first = content_of(variable._value)
        variable.assign([3.0, 4.0])
    assert born.digest(variable._value) == first != content_of(variable._value)
    assert born.values[id(variable._value)].tolist() == [1.0, 2.0]


def test_variables_made_in_a_traced_step() -> None:
    made: dict[str, Any] = {}

    @tf.function
    def step() -> Any:
        if not made:
            made["keras"] = keras.Variable([1.0, 2.0])
            made["tensorflow"] = tf.Variable([5.0])
        made["tensorflow"].assign_add([1.0])
        return made["keras"].assign_add([1.0, 1.0])

    with initial_values.watch(keep_values=True) as born:
        step()
    assert born.values[id(made["keras"]._value)].tolist() == [1.0, 2.0]
    assert made["keras"].numpy().tolist() == [2.0, 3.0]
    assert born.values[id(made["tensorflow"])].tolist() == [5.0]
    assert made["tensorflow"].numpy().tolist() == [6.0]


def test_a_variable_made_in_another_thread() -> None:
    made = []
    with initial_values.watch() as born:
        thread = threading.Thread(target=lambda: made.append(keras.Variable(1.0)))
        thread.start()
        thread.join()
    assert born.digest(made[0]._value) is not None


def test_watching_begins_and_ends() -> None:
    before = keras.Variable(1.0)
    outer = initial_values.start()
    with initial_values.watch() as inner:
        both = keras.Variable(1.0)
    one = keras.Variable(1.0)
    initial_values.stop(outer)
    initial_values.stop(outer)
    none = keras.Variable(1.0)
    seen = [[b.digest(v._value) is not None for v in (before, both, one, none)] for b in (outer, inner)]
    assert seen == [[False, True, True, False], [False, True, False, False]]
    outer.forget()
    assert outer.digest(both._value) is None


def test_a_failing_block_ends_the_watching() -> None:
    with pytest.raises(ZeroDivisionError), initial_values.watch() as born:
        raise ZeroDivisionError
    assert born.digest(keras.Variable(1.0)._value) is None


def test_a_watcher_that_nobody_holds_is_gone() -> None:
    gc.collect()
    count = len(initial_values._watching)
    born = initial_values.start()
    assert len(initial_values._watching) == count + 1
    del born
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


def test_an_unbuilt_model_is_recorded_as_the_built_one_starts(tmp_path: Path) -> None:
    _train(models.unbuilt_sequential, tmp_path / "run")
    records = _records(tmp_path / "run")
    models.fresh()
    built = models.unbuilt_sequential()
    built.build((None, 4))
    built.optimizer.build(built.trainable_variables)
    expected = digests_of(model_state(built))
    born = records["birth 0 0"].tensors
    assert born["weights"] == expected["weights"]
    assert list(born["weights"]) == [
        "layers/0/bias",
        "layers/0/kernel",
        "layers/2/bias",
        "layers/2/kernel",
    ]
    slots = {n: d for n, d in expected["optimizer"].items() if "momentums" in n or "velocities" in n}
    assert len(slots) == 8
    assert {n: born["optimizer"][n] for n in slots} == slots
    # After the epoch they differ from what they were born with.
    assert records["epoch 0 0"].tensors["weights"] != born["weights"]


def test_slots_of_a_gan_are_recorded_as_born(tmp_path: Path) -> None:
    _train(models.gan, tmp_path / "run")
    records = _records(tmp_path / "run")
    name = "d_optimizer/momentums/discriminator/layers/0/kernel"
    zeros = np.zeros((4, 3), "float32")
    assert records["birth 0 0"].tensors["optimizer"][name] == array_digest(name, zeros)
    assert name not in records["start 0"].tensors["optimizer"]


@pytest.mark.parametrize("build", [models.unbuilt_sequential, models.subclassed, models.gan])
def test_unseeded_models_part_before_the_first_epoch(build: Any, tmp_path: Path) -> None:
    _train(build, tmp_path / "a", seed=5)
    _train(build, tmp_path / "b", seed=6)
    comparison = kr.compare(tmp_path / "a", tmp_path / "b")
    found = comparison.divergence
    assert comparison.verdict == "diverged"
    assert found is not None
    assert (found.kind, found.epoch, found.cause) == ("birth", None, "initial_weights")
    assert found.section == "weights"
    assert str(found.tensor).endswith("kernel")
    assert "before the first epoch: initial weights differ" in found.describe()
    # Biases and slots are born as zeros: they do not differ, they appeared.
    assert all(t["tensor"].endswith("kernel") and t["section"] == "weights" for t in found.tensors)


class _Grows(keras.callbacks.Callback):
    """Gives the model another layer between two epochs."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            self.model.settings.grown = layers.Dense(2)
            self.model.settings.grown.build((None, 4))


def test_a_layer_added_during_the_training_is_born_then(tmp_path: Path) -> None:
    def train(folder: Path, seed_of_growth: int) -> None:
        models.fresh()
        model = models.with_plain_object()
        x, y = models.data()
        keras.utils.set_random_seed(seed_of_growth)
        callbacks = [_Grows(), kr.DeterminismCallback(folder)]
        model.fit(x, y, batch_size=24, epochs=3, shuffle=False, verbose=0, callbacks=callbacks)

    train(tmp_path / "a", 1)
    train(tmp_path / "again", 1)
    assert "settings/grown/kernel" in _records(tmp_path / "a")["birth 0 1"].tensors["weights"]
    assert kr.compare(tmp_path / "a", tmp_path / "again").verdict == "identical"
