"""Sidecar files of real trainings: sketches of all weights, snapshots after chosen epochs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from training import models

import keras_repro as kr
from keras_repro.comparison.distances.layer_distances import distances
from keras_repro.ledger.reader import open_ledger
from keras_repro.storage.sketch_file import SketchFile
from keras_repro.storage.snapshot_file import Snapshot
from keras_repro.training.state.walk import model_state

X, Y = models.data(32, 20)


def built(seed: int, dtype: str = "float32", frozen: bool = False) -> Any:
    models.fresh(seed)
    layers = [
        keras.Input((20,)),
        keras.layers.Dense(40, "relu", dtype=dtype),
        keras.layers.BatchNormalization(dtype=dtype),
        keras.layers.Dense(30, dtype=dtype),
        keras.layers.Dense(1, dtype="float32"),
    ]
    model = models.compiled(keras.Sequential(layers))
    model.layers[2].trainable = not frozen
    return model


class Copies(keras.callbacks.Callback):
    """Keep the true weights by name: at the start, and after each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[dict[str, np.ndarray]] = []

    def _copy(self) -> None:
        tensors = [t for t in model_state(self.model) if t.section == "weights"]
        self.states.append({t.name: tf.convert_to_tensor(t.variable).numpy().copy() for t in tensors})

    def on_train_begin(self, logs: Any = None) -> None:
        self._copy()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._copy()


def trained(folder: Path, model: Any, *, epochs: int = 3, **options: Any) -> list[dict[str, np.ndarray]]:
    copies = Copies()
    callback = kr.DeterminismCallback(folder, **options)
    model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=[copies, callback])
    return copies.states


def true(a: dict[str, np.ndarray], b: dict[str, np.ndarray], layer: str) -> float:
    names = [n for n in a if n.rpartition("/")[0] == layer]
    apart = sum(np.square(a[n].astype("f8") - b[n].astype("f8")).sum() for n in names)
    return float(np.sqrt(apart / sum(np.square(a[n].astype("f8")).sum() for n in names)))


def fingerprint(folder: Path) -> str | None:
    return open_ledger(folder).fingerprint


def file_of(record: Any) -> str | None:
    return record.extra.get("snapshot", {}).get("file")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_distances_of_trained_pairs_match_the_true_ones(tmp_path: Path, dtype: str) -> None:
    """Estimated and exact distances match the true ones: for another seed, and for one changed element."""
    base = trained(tmp_path / "a", built(1, dtype), keep="all")
    other = trained(tmp_path / "b", built(2, dtype), keep=[3])
    near = built(1, dtype)
    near.layers[0].kernel.assign(
        near.layers[0].kernel + 1e-2 * keras.ops.eye(20, 40, dtype=near.layers[0].kernel.dtype)
    )
    near = trained(tmp_path / "c", near)
    ratios = []
    for folder, states in (("b", other), ("c", near)):
        measured = distances(open_ledger(tmp_path / "a"), open_ledger(tmp_path / folder))
        assert measured.layers == ("layers/0", "layers/1", "layers/2", "layers/3")
        assert measured.epochs == ("start", "epoch 1", "epoch 2", "epoch 3")
        for i, layer in enumerate(measured.layers):
            for column in range(4):
                expected = true(base[column], states[column], layer)
                if expected and not measured.exact[i, column]:
                    ratios.append(measured.values[i, column] / expected)
                else:
                    assert np.isclose(measured.values[i, column], expected, rtol=1e-6)
        assert measured.exact[:, 3].all() == (folder == "b")
    # The same layers are estimated repeatedly, so these are fewer than 15 independent draws.
    assert len(ratios) >= 15
    assert np.count_nonzero(np.abs(np.array(ratios) - 1) > 0.3) <= 4


def test_sidecar_files_do_not_change_the_fingerprint(tmp_path: Path) -> None:
    trained(tmp_path / "a", built(1), keep="all")
    trained(tmp_path / "b", built(1), sketches=False)
    assert fingerprint(tmp_path / "a") == fingerprint(tmp_path / "b")
    assert kr.compare(tmp_path / "a", tmp_path / "b").grade.name == "bitwise"  # type: ignore[union-attr]
    assert sorted(p.name for p in (tmp_path / "b").iterdir()) == ["ledger.jsonl"]
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["ledger.jsonl", "sketches.bin", "snapshots"]


def test_each_state_has_a_single_sketch_record(tmp_path: Path) -> None:
    trained(tmp_path / "a", built(1, frozen=True))
    chain = list(open_ledger(tmp_path / "a").typed_records())
    states = [r for r in chain if r.kind in ("start", "epoch", "end")]
    sketches = list(SketchFile(tmp_path / "a" / "sketches.bin").records())
    assert [(r.position, r.digest) for r in sketches] == [(r.position, r.sections["weights"]) for r in states]
    assert [t.name for t in sketches[0].tensors] == list(states[0].tensors["weights"])
    # A frozen layer is written once, and an end equal to the last epoch adds only its position.
    size = (tmp_path / "a" / "sketches.bin").stat().st_size
    numbers = 256 * (10 + 3 * 8)
    assert numbers < size < numbers + 2000


def test_trainer_and_recorder_write_sidecar_files(tmp_path: Path) -> None:
    trainer = kr.ReproducibleTrainer(lambda: built(3), seed=1, batch_size=8)
    trainer.fit(X, Y, epochs=2, run_dir=tmp_path / "t", verbose=0, keep="last")
    assert [p.name for p in (tmp_path / "t" / "snapshots").iterdir()] == ["fit-1-epoch-2.h5"]
    off = trainer.fit(X, Y, epochs=2, run_dir=tmp_path / "u", verbose=0, sketches=False)
    assert off.fingerprint == fingerprint(tmp_path / "t")
    assert not (tmp_path / "u" / "sketches.bin").exists()
    model = built(4)
    with kr.Recorder(tmp_path / "r", model=model, keep=[1]) as recorder:
        for _ in range(2):
            model.train_on_batch(X, Y)
            recorder.epoch()
    assert [p.name for p in (tmp_path / "r" / "snapshots").iterdir()] == ["fit-1-epoch-1.h5"]
    positions = [r.position for r in SketchFile(tmp_path / "r" / "sketches.bin").records()]
    assert positions == ["start 0", "epoch 0 0", "epoch 0 1", "end 0"]


@pytest.mark.parametrize(
    ("keep", "kept"),
    [("all", [1, 2, 3]), ("last", [3]), ([1, 3, 9], [1, 3]), ([], [])],
)
def test_snapshots_are_kept_after_the_chosen_epochs(tmp_path: Path, keep: Any, kept: list[int]) -> None:
    folder = tmp_path / "a"
    states = trained(folder, built(1, "bfloat16"), keep=keep)
    files = sorted((folder / "snapshots").iterdir()) if kept else []
    assert [p.name for p in files] == [f"fit-1-epoch-{e}.h5" for e in kept]
    records = {file_of(r): r for r in open_ledger(folder).typed_records() if file_of(r)}
    for epoch, path in zip(kept, files, strict=True):
        record = records[f"snapshots/{path.name}"]
        assert record.position == f"epoch 0 {epoch - 1}"
        with Snapshot(path, digest=record.extra["snapshot"]["digest"]) as snapshot:
            assert snapshot.metadata == {"kind": "epoch", "fit": 0, "epoch": epoch - 1}
            assert list(snapshot.arrays) == list(states[epoch])
            for name, array in states[epoch].items():
                assert snapshot.array(name).dtype == array.dtype
                assert snapshot.array(name).tobytes() == array.tobytes()


@pytest.mark.parametrize("keep", ["first", 3, [0], [-1], [1.5], [True], ["1"]])
def test_invalid_keep_is_rejected(tmp_path: Path, keep: Any) -> None:
    message = r"keep must be 'all', 'last' or a list of epochs, counted from 1 .* received "
    with pytest.raises(ValueError, match=message):
        kr.DeterminismCallback(tmp_path / "a", keep=keep)
    with pytest.raises(ValueError, match=message):
        kr.Recorder(tmp_path / "a", model=None, keep=keep)
    assert not (tmp_path / "a").exists()


def test_end_with_other_weights_has_a_snapshot_too(tmp_path: Path) -> None:
    model = built(1)
    early = keras.callbacks.EarlyStopping("loss", mode="max", patience=0, restore_best_weights=True)
    callback = kr.DeterminismCallback(tmp_path / "a", keep="last")
    model.fit(X, Y, epochs=5, verbose=0, callbacks=[early, callback])
    assert [p.name for p in (tmp_path / "a" / "snapshots").iterdir()] == ["fit-1-end.h5"]


def test_overwritten_run_leaves_no_files(tmp_path: Path) -> None:
    trained(tmp_path / "a", built(1), keep="all")
    (tmp_path / "a" / "snapshots" / "notes.txt").write_text("notes")
    trained(tmp_path / "a", built(2), sketches=False, overwrite=True)
    assert [str(p.relative_to(tmp_path)) for p in sorted(tmp_path.rglob("*")) if p.is_file()] == [
        "a/ledger.jsonl",
        "a/snapshots/notes.txt",
    ]


def test_no_view_of_a_variable_is_kept(tmp_path: Path) -> None:
    """If a view were kept, the next assignment would copy to another address."""
    model = keras.Sequential([keras.Input((600,)), keras.layers.Dense(500)])
    kernel = model.layers[0].kernel.value

    def address() -> int:
        return int(np.frombuffer(memoryview(kernel.read_value()), "f4").ctypes.data)

    with kr.Recorder(tmp_path / "a", model=model, keep="all") as recorder:
        for _ in range(3):
            before = address()
            recorder.epoch()
            kernel.assign_add(tf.ones_like(kernel))
            assert address() == before


def on_full_disk(callback: kr.DeterminismCallback) -> Callable[[], None]:
    """Replace the sketch file by one on a full disk."""
    writer = callback.run.sidecar_files._recorder._writer  # type: ignore[union-attr]
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, writer._file._descriptor)
    return lambda: os.close(full)


def test_full_disk_ends_only_the_sketches(tmp_path: Path) -> None:
    callback = kr.DeterminismCallback(tmp_path / "a")
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, logs: e == 1 and on_full_disk(callback)())
    with pytest.warns(
        UserWarning, match=r"no more sketches of the weights: .*No space left on device; the training"
    ):
        built(1).fit(X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[begin, callback])
    trained(tmp_path / "b", built(1))
    assert callback.fingerprint == fingerprint(tmp_path / "b")
    assert [r.position for r in SketchFile(tmp_path / "a" / "sketches.bin").records()] == [
        "start 0",
        "epoch 0 0",
    ]


def test_snapshot_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "snapshots").write_text("in the way")
    with pytest.warns(UserWarning, match="no snapshot: .*the training and its ledger continue"):
        trained(tmp_path / "a", built(1), keep=[2])
    assert open_ledger(tmp_path / "a").status == "finished"


def test_distances_of_a_launched_script_are_reported(verified: Callable[..., Any]) -> None:
    """The run is stopped at its divergence, after its sketches are written."""
    comparison = verified("no_seed.py").comparison
    assert comparison.verdict == "diverged"
    assert 0.5 < comparison.how_far.first.largest < 3
    assert comparison.grade.name == "different"
