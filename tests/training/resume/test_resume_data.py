"""Resume on a PyDataset or a tf.data.Dataset; other data is refused, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from training import models
from training.interrupting import Interrupted, Interrupts

import keras_repro as kr
from keras_repro.determinism.tf_runtime import set_op_determinism
from keras_repro.errors import ReproError
from keras_repro.ledger.reader import open_ledger
from keras_repro.training.data.plans.pipeline_check import Pipeline

X = np.random.default_rng(3).normal(size=(44, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Set TensorFlow's seed as in a fresh process: a shuffle's seed depends on it too."""
    tf.random.set_seed(1)


class Rows(keras.utils.PyDataset):  # type: ignore[misc]
    """Six batches, each a function of its index; the last batch is smaller."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.x, self.y = X, Y

    def __len__(self) -> int:
        return -(-len(self.x) // 8)

    def __getitem__(self, index: int) -> Any:
        rows = slice(index * 8, index * 8 + 8)
        noise = np.random.default_rng((1, index)).normal(size=self.x[rows].shape)
        return self.x[rows] + noise.astype("float32"), self.y[rows]


class Turns(Rows):
    """Rows in another order in each epoch, with `get_state` and `set_state`."""

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.order = np.arange(len(self.x))

    def __getitem__(self, index: int) -> Any:
        rows = self.order[index * 8 : index * 8 + 8]
        return self.x[rows], self.y[rows]

    def on_epoch_begin(self) -> None:
        self.order = np.roll(self.order, 5)

    def on_epoch_end(self) -> None:
        np.random.shuffle(self.order)

    def get_state(self) -> Any:
        return {"order": self.order}

    def set_state(self, state: Any) -> None:
        self.order = state["order"]


class Endless(Rows):
    """Rows of unknown length."""

    @property
    def num_batches(self) -> None:
        return None

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index % 5)


def _slices() -> Any:
    return tf.data.Dataset.from_tensor_slices((X, Y))


def _filtered() -> Any:
    return _slices().filter(lambda x, y: x[0] > -9.0)


def _double(x: Any, y: Any) -> Any:
    return 2 * x, y


DATA: dict[str, Callable[[], Any]] = {
    "two workers": lambda: Rows(workers=2),
    "turns": lambda: Turns(workers=2),
    "fixed": lambda: _slices().map(_double, num_parallel_calls=2).batch(8).prefetch(2),
    "shuffled": lambda: _slices().shuffle(20, seed=3).map(_double).batch(8).prefetch(2),
    "set length": lambda: (
        _filtered().shuffle(9, seed=1).batch(8).apply(tf.data.experimental.assert_cardinality(6))
    ),
}
# With `steps_per_epoch`.
STREAMS: dict[str, Callable[[], Any]] = {
    "PyDataset": Rows,
    "endless, two workers": lambda: Endless(workers=2),
    "repeated": lambda: _slices().shuffle(50, seed=2, reshuffle_each_iteration=False).batch(8).repeat(),
    "shuffled": lambda: _slices().shuffle(20, seed=3).batch(8),
}


def _traced() -> Any:
    layers = [keras.layers.Dense(3), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    return models.compiled(keras.Sequential([keras.Input((4,)), *layers]), metrics=["mae"])


def _model() -> Any:
    """Return the same model, run eagerly: tracing would take most of the time."""
    model = _traced()
    model.run_eagerly = True
    return model


def _fit(run_dir: Path, data: Any, moment: str = "", *, build: Any = _model, **changed: Any) -> Any:
    trainer = kr.ReproducibleTrainer(build, seed=1, batch_size=8, strict=False)
    given = {"epochs": 3, "resume": True, "snapshot_every": 4, "verbose": 0} | changed
    return trainer.fit(data, run_dir=run_dir, callbacks=[Interrupts(moment)], **given)


def _result(run: Any) -> dict[str, Any]:
    weights = [w.tobytes() for w in run.model.get_weights()]
    return {"fingerprint": run.fingerprint, "history": run.history, "weights": weights}


def _check_resumed(folder: Path, make: Callable[[], Any], moments: Any, **given: Any) -> None:
    """Interrupt one run at each moment, and compare its result with an uninterrupted run."""
    whole = _result(_fit(folder / "whole", make(), **given))
    for moment in moments:
        with pytest.raises(KeyboardInterrupt if moment.endswith("signal") else Interrupted):
            _fit(folder / "run", make(), moment, **given)
    run = _fit(folder / "run", make(), **given)
    assert _result(run) == whole
    assert len(run.history["loss"]) == 3


@pytest.mark.parametrize("kind", DATA)
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_epoch_is_resumed_in_its_middle(kind: str, tmp_path: Path) -> None:
    build = _traced if kind == "shuffled" else _model
    _check_resumed(tmp_path, DATA[kind], ["0.5", "1.end", "2.2"], build=build)


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_stream_continues_with_steps_per_epoch(kind: str, tmp_path: Path) -> None:
    _check_resumed(tmp_path, STREAMS[kind], ["1.end", "2.1"], steps_per_epoch=4, snapshot_every=3)


@pytest.mark.parametrize("kind", ["turns", "shuffled"])
def test_resume_after_last_step_of_epoch(kind: str, tmp_path: Path) -> None:
    """Keras closes the epoch's data before validation, but not at the last step."""
    validation = Turns if kind == "turns" else DATA["fixed"]
    given = {"validation_data": validation(), "snapshot_every": "epoch"}
    whole = _result(_fit(tmp_path / "whole", DATA[kind](), **given))
    for moment in ("0.test.signal", "1.5.signal"):
        given = {"validation_data": validation(), "snapshot_every": "epoch"}
        with pytest.raises(KeyboardInterrupt):
            _fit(tmp_path / "run", DATA[kind](), moment, **given)
    given = {"validation_data": validation(), "snapshot_every": "epoch"}
    run = _fit(tmp_path / "run", DATA[kind](), **given)
    assert _result(run) == whole
    assert set(run.history) == {"loss", "mae", "val_loss", "val_mae"}


def test_snapshots_do_not_change_training_on_streams(tmp_path: Path) -> None:
    for kind in ("turns", "shuffled"):
        resumable = _result(_fit(tmp_path / kind / "resumable", DATA[kind](), epochs=2))
        plain = {"resume": False, "snapshot_every": None, "epochs": 2}
        assert _result(_fit(tmp_path / kind / "plain", DATA[kind](), **plain)) == resumable


def test_batches_of_py_dataset_are_in_the_order_of_the_trainer(tmp_path: Path) -> None:
    seen: list[int] = []

    class Seen(Rows):
        def __getitem__(self, index: int) -> Any:
            seen.append(index)
            return super().__getitem__(index)

    off = {"resume": False, "snapshot_every": None, "epochs": 3}
    run = _fit(tmp_path / "run", Seen(), **off)
    assert run.fingerprint.startswith("kr1-smo-")
    epochs = [seen[2 + 6 * n : 8 + 6 * n] for n in range(3)]  # after the two batches of the check
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3
    fit = next(open_ledger(run.ledger).typed_records())
    assert fit.extra["data"] == {"kind": "PyDataset", "order": "keras_repro"}


def test_optimizer_built_in_first_step_is_restored(tmp_path: Path) -> None:
    def make() -> Any:
        return _slices().map(lambda x, y: x).shuffle(20, seed=3).batch(8)

    whole = _result(_fit(tmp_path / "whole", make(), build=models.gan))
    with pytest.raises(Interrupted):
        _fit(tmp_path / "run", make(), "0.4", build=models.gan)
    assert _result(_fit(tmp_path / "run", make(), build=models.gan)) == whole


class _Drawn(Rows):
    def __getitem__(self, index: int) -> Any:
        return X[:8] * np.float32(np.random.random()), Y[:8]


class _Counted(Rows):
    count = 0

    def __getitem__(self, index: int) -> Any:
        self.count += 1
        return X[:8] * self.count, Y[:8]


class _WithoutState(Rows):
    def on_epoch_end(self) -> None:
        np.random.shuffle(self.y)


def _unseeded() -> Any:
    """Make a shuffle while no seed is set."""
    set_op_determinism(False)
    tf.random.set_seed(None)
    try:
        return _slices().shuffle(9).batch(8)
    finally:
        tf.random.set_seed(1)


_flip = keras.layers.RandomFlip(seed=1)
_images = tf.data.Dataset.from_tensor_slices(np.zeros((8, 4, 4, 1), "float32"))

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "generator": (
        lambda: ((X[:8], Y[:8]) for _ in range(9)),
        "x: a run on a generator cannot be resumed, because its position cannot be restored: use arrays, a "
        "PyDataset",
    ),
    "draws": (_Drawn, "batch 0 of _Drawn draws from a generator of the process"),
    "counts": (_Counted, "batch 0 of _Counted differs each time it is made"),
    "keeps": (_WithoutState, "_WithoutState changes between epochs .on_epoch_end., and its state is unknown"),
    "unseeded": (_unseeded, "its shuffle has no seed: use shuffle"),
    "from_generator": (
        lambda: tf.data.Dataset.from_generator(lambda: iter([X]), output_signature=tf.TensorSpec([44, 4])),
        "it reads a Python generator: use a PyDataset, or arrays",
    ),
    "python": (
        lambda: _slices().map(lambda x, y: (tf.numpy_function(np.sin, [x], tf.float32), y)).batch(8),
        "its map calls Python code, which is not known to be deterministic",
    ),
    "random": (
        lambda: _slices().map(lambda x, y: (x + tf.random.uniform([4]), y)).batch(8),
        "its map contains RandomUniform, which is not deterministic",
    ),
    "random pooling": (
        lambda: _images.batch(8).map(
            lambda x: tf.raw_ops.FractionalMaxPool(value=x, pooling_ratio=[1.0, 1.5, 1.5, 1.0])[0]
        ),
        "its map contains FractionalMaxPool, which is not deterministic",
    ),
    "random layer": (
        lambda: _images.map(lambda x: _flip(x, training=True)).batch(8),
        "it uses a variable, as a random layer of Keras does; move the layer into the model",
    ),
    "loose order": (
        lambda: _slices().map(_double, num_parallel_calls=2, deterministic=False).batch(8),
        "its ParallelMap has deterministic=False",
    ),
    "two shuffles": (
        lambda: _slices().shuffle(9, seed=1).batch(8).shuffle(3, seed=2),
        "its shuffle reshuffles on every pass and is followed by another shuffle",
    ),
    "shuffled, repeated": (
        lambda: _slices().shuffle(9, seed=1).batch(8).repeat(2),
        "is followed by repeat: remove that stage .Keras starts a new pass by itself.",
    ),
    "unknown": (
        lambda: tf.data.Dataset.random(seed=1).map(lambda n: (X[:8], Y[:8])),
        "its RandomDataset is not known to be deterministic",
    ),
    "unknown length": (
        lambda: _filtered().batch(8),
        "the number of batches of this tf.data.Dataset is unknown",
    ),
    "file": (lambda: _slices().batch(8).cache("cached"), "it caches in a file"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_data_that_cannot_be_resumed_is_refused_before_training(kind: str, tmp_path: Path) -> None:
    make, message = REFUSED[kind]
    with pytest.raises(TypeError, match=message):
        _fit(tmp_path / "run", make())
    assert not (tmp_path / "run" / "ledger.jsonl").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ((X[:8], Y[:8]) for _ in range(9)), "validation_data: a generator can be read only once"),
        (
            lambda: _slices().shuffle(9, seed=1).batch(8),
            "validation_data: the dataset reshuffles on every pass",
        ),
        (_Drawn, "validation_data: batch 0 of _Drawn draws from a generator"),
        (lambda: Turns(workers=2), "validation_data: the workers of Turns make batches before Keras calls"),
    ],
)
def test_validation_data_that_may_change_is_refused(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=message):
        _fit(tmp_path / "run", Rows(), validation_data=make())


def test_py_dataset_without_batches_is_refused(tmp_path: Path) -> None:
    class Empty(Rows):
        def __len__(self) -> int:
            return 0

    with pytest.raises(ValueError, match="x holds no batches"):
        _fit(tmp_path / "run", Empty())


def test_py_dataset_that_changes_between_epochs_is_refused_with_steps(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="leave out steps_per_epoch"):
        _fit(tmp_path / "run", Turns(), steps_per_epoch=4)


@pytest.mark.parametrize("kind", ["two workers", "fixed", "shuffled"])
def test_changed_data_is_refused(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Interrupted):
        _fit(tmp_path / "run", DATA[kind](), "0.4")
    monkeypatch.setitem(globals(), "X", X + 1)
    with pytest.raises(ReproError, match="its data differ"):
        _fit(tmp_path / "run", DATA[kind]())


def test_pipeline_is_not_run_by_its_inspection() -> None:
    def fail(x: Any, y: Any) -> Any:
        tf.debugging.assert_less(x, -99.0)
        return x, y

    pipeline = Pipeline(_slices().map(fail).shuffle(9, seed=4).batch(8))
    assert (pipeline.reasons, pipeline.reshuffled) == ((), True)
    assert pipeline.digest != Pipeline(_slices().map(fail).shuffle(9, seed=5).batch(8)).digest
