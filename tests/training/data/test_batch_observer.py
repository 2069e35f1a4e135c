"""Batches in step records: trainer and launcher observe them and do not change the training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from training import models
from training.data.test_batch_feed import DATA, _same

import keras_repro as kr
from keras_repro.ledger.reader import open_ledger
from keras_repro.training.backends.keras3_tf import data_adapters
from keras_repro.training.data.batch_digests import joint_digests
from keras_repro.training.data.batch_feed import BatchFeed
from keras_repro.training.data.batch_observer import BatchObserver
from keras_repro.training.state.fast_reader import StateReader

X, Y = models.data(48)


@pytest.mark.parametrize("at_once", [1, 3])
@pytest.mark.parametrize("kind", [k for k in DATA if k != "optional"])
def test_feed_returns_the_batches_it_was_given(kind: str, at_once: int) -> None:
    batches = list(DATA[kind]())
    spec = DATA[kind]().element_spec
    feed = BatchFeed.of(spec, at_once)
    assert feed is not None
    for start in range(0, len(batches), at_once):
        some = batches[start : start + at_once]
        iterator = feed.of_batches([_parts(batch) for batch in some])
        assert iterator.element_spec == spec
        assert all(_same(next(iterator), batch) for batch in some)
    if len(batches) % at_once:
        assert list(iterator) == []


def _parts(batch: Any) -> list[Any]:
    return tf.nest.flatten(batch, expand_composites=True)


def test_unsupported_element_spec_has_no_feed() -> None:
    assert BatchFeed.of(DATA["optional"]().element_spec, 1) is None


def _numbers(rows: Any = slice(None), *, x: Any = X, y: Any = Y) -> Any:
    return [tf.constant(x[rows]), tf.constant(y[rows])]


def test_reordered_samples_have_equal_rows_digest() -> None:
    backwards = np.arange(48)[::-1]
    first, other = joint_digests([_numbers()]), joint_digests([_numbers(backwards)])
    assert first["rows"] == other["rows"]
    assert first["order"] != other["order"]
    assert first == joint_digests([_numbers()])


@pytest.mark.parametrize("wide", [False, True])
def test_value_label_and_dtype_change_rows_digest(wide: bool) -> None:
    x = np.repeat(X, 2000, axis=1) if wide else X
    changed = x.copy()
    changed[5, 1] = np.nextafter(changed[5, 1], np.float32(9))
    swapped = Y.copy()
    other = int(np.flatnonzero(Y[:, 0] - Y[0, 0])[0])
    swapped[[0, other]] = swapped[[other, 0]]
    batches = [
        _numbers(x=x),
        _numbers(x=changed),
        _numbers(x=x, y=swapped),  # the same inputs and labels in other pairs
        _numbers(x=x.view("int32")),
        _numbers(slice(1, None), x=x),
    ]
    digests = [joint_digests([b]) for b in batches]
    assert len({d["rows"] for d in digests}) == len({d["order"] for d in digests}) == 5


def test_rows_digests_are_additive_and_exist_for_strings() -> None:
    halves = _numbers(slice(0, 20)), _numbers(slice(20, None))
    whole, both = joint_digests([_numbers()]), joint_digests(halves)
    sums = [int(joint_digests([h])["rows"], 16) for h in halves]
    assert whole["rows"] == both["rows"] == f"{sum(sums) % 2**128:032x}"
    assert whole["order"] != both["order"]
    texts = [tf.constant(t) for t in (["a", "bc", ""], ["bc", "", "a"], ["ab", "c", ""])]
    digests = [joint_digests([[t]])["rows"] for t in texts]
    assert digests[0] == digests[1] != digests[2]


def test_scalars_have_no_rows_digest() -> None:
    assert list(joint_digests([[tf.ones((2, 2)), tf.ones(3)]])) == ["order"]
    assert list(joint_digests([[tf.ones((2, 2)), tf.ones(())]])) == ["order"]
    for kind, samples in (("ragged", False), ("sparse", False), ("a dict and weights", True)):
        feed = BatchFeed.of(DATA[kind]().element_spec, 1)
        assert feed is not None
        assert feed.samples == samples
        digests = joint_digests([_parts(next(iter(DATA[kind]())))], samples=samples)
        assert ("rows" in digests) == samples


def _dataset() -> Any:
    return tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(48, seed=2).batch(7)


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]
    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return X[index * 8 :][:8], Y[index * 8 :][:8], np.ones(8, "float32") + index


def _at_once() -> Any:
    model = models.functional()
    model.steps_per_execution = 4
    return model


FITS: dict[str, tuple[Callable[[], Any], Callable[[], dict[str, Any]]]] = {
    "arrays": (
        models.functional,
        lambda: {"x": X, "y": Y, "sample_weight": np.linspace(1, 2, 48, dtype="float32")},
    ),
    "classes": (models.unbuilt_sequential, lambda: {"x": X, "y": Y, "class_weight": {0: 1.0, 1: 4.0}}),
    "at once": (_at_once, lambda: {"x": X, "y": Y, "validation_data": (X[:9], Y[:9])}),
    "dataset": (models.own_noise, lambda: {"x": _dataset()}),
    "py dataset": (models.functional, lambda: {"x": _Batches(workers=2)}),
}


@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")
@pytest.mark.parametrize("kind", FITS)
def test_trainer_records_batches_and_changes_nothing(kind: str, tmp_path: Path) -> None:
    build, arguments = FITS[kind]
    trainer = kr.ReproducibleTrainer(build, seed=4, batch_size=8, switches={"op_determinism": False})
    runs, states = {}, []
    for every in ("epoch", "step", 3):
        folder = tmp_path / f"{every}"
        runs[every] = trainer.fit(**arguments(), epochs=2, every=every, run_dir=folder, verbose=0)
        states.append(StateReader(runs[every].model).digests())
        assert not isinstance(runs[every].model.train_function, BatchObserver)
    assert states[0] == states[1] == states[2]
    assert len({run.fingerprint for run in runs.values()}) == 1
    steps = {n: [r for r in _records(run.run_dir) if r["kind"] == "step"] for n, run in runs.items()}
    assert steps["epoch"] == []
    assert all(
        list(r["batch"]) == ["order", "rows"] for records_of_epoch in steps.values() for r in records_of_epoch
    )
    seen = {(r["epoch"], r["step"]): r["batch"] for r in steps["step"]}
    assert all(seen[r["epoch"], r["step"]] == r["batch"] for r in steps[3])
    # The epochs of a PyDataset may have the same order.
    assert len({b["order"] for b in seen.values()}) >= len(seen) / 2
    fits = [next(r for r in _records(run.run_dir) if r["kind"] == "fit") for run in runs.values()]
    assert [f.get("batches") for f in fits] == [None, "seen", "seen"]


def _records(folder: Path) -> list[dict[str, Any]]:
    return list(open_ledger(folder).records())


def test_only_batches_of_recorded_steps_are_digested() -> None:
    models.fresh()
    model, due, digests = models.functional(), [False, True, False], []
    model.make_train_function()
    bare = model.train_function
    iterator = iter(_dataset())
    feed = BatchFeed.of(iterator.element_spec, 1)
    assert feed is not None
    observer = BatchObserver(model, feed, lambda _: due.pop(0))
    observer.install()
    observer.install()
    for _ in range(3):
        model.train_function(iterator)
        digests.append(observer.seen())
    assert [t is None for t in digests] == [True, False, True]
    assert digests[1] == joint_digests([_parts(list(_dataset())[1])])
    observer.uninstall()
    assert model.train_function is bare


def test_inner_of_two_observers_may_be_uninstalled_first() -> None:
    models.fresh()
    model = models.functional()
    model.make_train_function()
    bare, iterator = model.train_function, iter(_dataset())
    observers = []
    for _ in range(2):
        feed = BatchFeed.of(iterator.element_spec, 1)
        assert feed is not None
        observers.append(BatchObserver(model, feed, lambda _: True))
        observers[-1].install()
    model.train_function(iterator)
    assert observers[0].seen() == observers[1].seen() == joint_digests([_parts(next(iter(_dataset())))])
    observers[0].uninstall()
    assert observers[1].function is bare
    observers[1].uninstall()
    assert model.train_function is bare


@pytest.mark.filterwarnings("ignore:.shuffle=True. was passed")
def test_steps_are_recorded_without_batches_that_cannot_be_observed(tmp_path: Path) -> None:
    trainer = kr.ReproducibleTrainer(
        models.functional, seed=4, batch_size=8, switches={"op_determinism": False}
    )
    nothing = tf.experimental.Optional.empty(tf.TensorSpec((None,), tf.float32))
    data = _dataset().map(lambda x, y: (x, y, nothing))
    trainer.fit(data, every="step", run_dir=tmp_path / "run", verbose=0)
    records = _records(tmp_path / "run")
    assert next(r for r in records if r["kind"] == "fit")["batches"] == "not seen"
    steps = [r for r in records if r["kind"] == "step"]
    assert len(steps) == 7
    assert not any("batch" in r for r in steps)


@pytest.mark.parametrize("every", ["epochs", 0, True, 1.5])
def test_trainer_rejects_invalid_every(every: Any, here: Path) -> None:
    trainer = kr.ReproducibleTrainer(
        models.functional, seed=4, batch_size=8, switches={"op_determinism": False}
    )
    with pytest.raises(ValueError, match="every must be 'epoch', 'step' or a whole number of steps"):
        trainer.fit(X, Y, every=every)
    assert list(here.iterdir()) == []


def test_launcher_records_batches_and_changes_nothing(
    launched: Callable[..., Any], process: Callable[..., Any], here: Path
) -> None:
    script = Path(models.__file__).parents[1] / "scripts" / "all_kinds.py"
    child = launched("all_kinds.py", every="step")
    assert child.outcome.code == 0, child.output
    observered = json.loads((here / "result.json").read_text())
    (here / "result.json").unlink()
    with process(script) as bare:
        assert bare.communicate() is not None
    assert bare.returncode == 0
    expected = json.loads((here / "result.json").read_text())
    assert observered == expected
    assert len(expected) == 9
    records = child.records
    assert [r["batches"] for r in records if r["kind"] == "fit"] == ["seen"] * 9
    steps = [r for r in records if r["kind"] == "step"]
    assert {r["fit"] for r in steps} == set(range(9))
    assert all(list(r["batch"]) == ["order", "rows"] for r in steps)


@pytest.mark.parametrize("kind", [k for k in DATA if k != "optional"])
def test_taken_batches_equal_those_of_next(kind: str) -> None:
    spec = DATA[kind]().element_spec
    dense = BatchFeed(spec, 1).dense
    assert dense == (kind not in ("ragged", "sparse", "ragged and dense"))
    iterator, plain = iter(DATA[kind]()), iter(DATA[kind]())
    for parts, batch in zip(data_adapters.flat_batches(iterator, dense=dense), plain, strict=True):
        assert all(map(_same, parts, _parts(batch)))
        assert len(parts) == len(_parts(batch))
    for _ in range(2):
        assert list(data_adapters.flat_batches(iterator, dense=dense)) == []
