"""Callbacks of a resumed run: their state, their files, and the reports of callbacks without a state."""

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
from keras_repro.errors import ResumeError
from keras_repro.ledger.reader import open_ledger
from keras_repro.training.resume import tensorboard_files

pytestmark = [
    # `pytest.warns` issues other warnings again, with this file as their source.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    # Keras's CSVLogger leaves its file open if a fit fails.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

X = np.random.default_rng(3).normal(size=(40, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def _model(optimizer: Any = None) -> Any:
    layers = [keras.layers.Dense(3), keras.layers.Dropout(0.2), keras.layers.Dense(1)]
    optimizer = optimizer or keras.optimizers.Adam(0.05)
    model = keras.Sequential([keras.Input((4,)), *layers])
    return models.compiled(model, optimizer=optimizer, run_eagerly=True)


def _fit(run_dir: Path, callbacks: Any, moment: str = "", *, build: Any = _model, **changed: Any) -> Any:
    strict = changed.pop("strict", False)
    trainer = kr.ReproducibleTrainer(build, seed=1, batch_size=8, strict=strict)
    given = {"epochs": 3, "resume": True, "snapshot_every": 2, "verbose": 0, "validation_data": (X, Y)}
    return trainer.fit(X, Y, run_dir=run_dir, callbacks=[*callbacks, Interrupts(moment)], **(given | changed))


def _result(run: Any) -> dict[str, Any]:
    weights = [w.tobytes() for w in run.model.get_weights()]
    return {"fingerprint": run.fingerprint, "history": run.history, "weights": weights}


def _events(folder: Path) -> list[tuple[str, str, int, str]]:
    """Return folder, tag, step and value of each event in the event files of a folder."""
    events = []
    for path in sorted(folder.rglob("*tfevents*")):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                content = tf.make_ndarray(value.tensor).tolist()
                events.append((path.parent.name, value.tag, event.step, repr(content)))
    return sorted(events)


@pytest.mark.filterwarnings("ignore:.*summary_iterator:DeprecationWarning")
@pytest.mark.parametrize(
    ("update", "moments"),
    [
        ("epoch", ["1.end"]),
        # Before the first snapshot; within an epoch, then in its resumed part; during validation.
        ("batch", ["0.0", "1.0", "2.test"]),
    ],
)
def test_tensorboard_contains_each_event_once(update: Any, moments: list[str], tmp_path: Path) -> None:
    def board(name: str) -> list[Any]:
        return [keras.callbacks.TensorBoard(tmp_path / name, update_freq=update, histogram_freq=1)]

    whole = _result(_fit(tmp_path / "whole", board("whole-logs")))
    expected = _events(tmp_path / "whole-logs")
    (tmp_path / "logs" / "train").mkdir(parents=True)
    others = tmp_path / "logs" / "train" / "events.out.tfevents.1.another.1.0.v2"
    others.touch()
    for moment in moments:
        with pytest.raises(Interrupted):
            _fit(tmp_path / "run", board("logs"), moment)
    with pytest.raises(KeyboardInterrupt):
        _fit(tmp_path / "run", board("logs"), "2.test.signal")
    assert _result(_fit(tmp_path / "run", board("logs"))) == whole
    events = _events(tmp_path / "logs")
    assert events == expected
    assert len(events) > 3 * 5
    assert others.exists(), "a file of another process was removed"


def test_missing_event_files_are_reported(tmp_path: Path) -> None:
    board = [keras.callbacks.TensorBoard(tmp_path / "logs")]
    with pytest.raises(Interrupted):
        _fit(tmp_path / "run", board, "1.end")
    for path in (tmp_path / "logs" / "validation").iterdir():
        path.unlink()
    with pytest.warns(
        UserWarning, match=r"no longer contains validation/events.out.*of TensorBoard are missing"
    ):
        _fit(tmp_path / "run", board)


def test_event_files_of_this_process_are_recognized_by_name(tmp_path: Path) -> None:
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        tf.summary.scalar("a", 1.0, step=0)
    (path,) = tmp_path.iterdir()
    assert f".{tensorboard_files.this_process()}." in path.name


def _ema() -> Any:
    return _model(keras.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.8))


def _others(folder: Path) -> list[Any]:
    best = str(folder / "best.weights.h5")
    return [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.8),
        keras.callbacks.ReduceLROnPlateau("loss", patience=1, min_delta=5.0),
        keras.callbacks.CSVLogger(str(folder / "log.csv"), append=True),
        keras.callbacks.ModelCheckpoint(best, save_weights_only=True, save_freq=3),
        keras.callbacks.TerminateOnNaN(),
        keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    ]


CALLBACKS: dict[str, tuple[Callable[[Path], list[Any]], Any]] = {
    "SwapEMAWeights": (lambda folder: [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)], _ema),
    "others": (_others, _model),
}


@pytest.mark.parametrize("kind", CALLBACKS)
def test_callbacks_of_keras_are_restored(kind: str, tmp_path: Path) -> None:
    make, build = CALLBACKS[kind]
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / "log.csv").write_text("epoch,of an earlier training\n")
    whole = _result(_fit(folders[0] / "run", make(folders[0]), build=build))
    for moment in ("0.3", "1.end"):
        with pytest.raises(Interrupted):
            _fit(folders[1] / "run", make(folders[1]), moment, build=build)
    with pytest.raises(KeyboardInterrupt):
        _fit(folders[1] / "run", make(folders[1]), "2.test.signal", build=build)
    assert _result(_fit(folders[1] / "run", make(folders[1]), build=build)) == whole
    logs = [(folder / "log.csv").read_text() for folder in folders]
    assert logs[0] == logs[1]
    assert logs[1].count("\n") == 1 + (3 if kind == "others" else 0)
    saved = [[p.name for p in sorted(folder.glob("*.h5"))] for folder in folders]
    assert saved[0] == saved[1] == (["best.weights.h5"] if kind == "others" else [])


def test_backup_and_restore_is_refused(tmp_path: Path) -> None:
    backup = [keras.callbacks.BackupAndRestore(tmp_path / "backup")]
    with pytest.raises(
        TypeError, match="BackupAndRestore resumes by itself, and not bit-identically: remove it"
    ):
        _fit(tmp_path / "run", backup)
    assert not (tmp_path / "run").exists()


class _Noise(keras.layers.Layer):  # type: ignore[misc]
    def call(self, x: Any, training: bool = False) -> Any:
        return x + tf.random.normal(tf.shape(x)) if training else x


class _Sampled(keras.layers.Layer):  # type: ignore[misc]
    def call(self, x: Any, training: bool = False) -> Any:
        if not training:
            return x
        true = tf.zeros((tf.shape(x)[0], 1), tf.int64)
        return x + tf.random.uniform_candidate_sampler(true, 1, 4, True, 9).sampled_expected_count[:1]


def _sampled() -> Any:
    layers = [keras.Input((4,)), _Sampled(name="sampled"), keras.layers.Dense(1)]
    return models.compiled(keras.Sequential(layers))


def _noisy() -> Any:
    layers = [keras.Input((4,)), _Noise(name="noisy"), keras.layers.Dense(1)]
    return models.compiled(keras.Sequential(layers))


def test_training_step_with_hidden_counter_is_refused(tmp_path: Path) -> None:
    steps: list[int] = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(batch))
    message = (
        r"cannot be resumed exactly; nothing was trained:\n  RandomStandardNormal in layer noisy, made at "
    )
    with pytest.raises(ResumeError, match=message + r"test_resume_callbacks.py:\d+: it keeps a counter"):
        _fit(tmp_path / "run", [count], build=_noisy, strict=True)
    assert steps == []
    assert not (tmp_path / "run" / "ledger.jsonl").exists(), "the corrected program cannot begin there"


def test_candidate_sampler_is_a_hidden_counter(tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match="UniformCandidateSampler in layer sampled, made at "):
        _fit(tmp_path / "run", [], build=_sampled, strict=True)


def test_hidden_counter_is_noted_without_strict(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="a resumed run may differ: RandomStandardNormal in layer noisy"):
        run = _fit(tmp_path / "run", [], build=_noisy, epochs=1)
    notes = [r["text"] for r in open_ledger(run.ledger).records() if r["kind"] == "note"]
    assert len(notes) == 1
    assert "RandomStandardNormal in layer noisy" in notes[0]
    assert run.status == "finished"


def test_model_built_in_its_first_step_is_resumed(tmp_path: Path) -> None:
    whole = _result(_fit(tmp_path / "whole", [], build=models.unbuilt_sequential))
    with pytest.raises(Interrupted):
        _fit(tmp_path / "run", [], "1.3", build=models.unbuilt_sequential)
    assert _result(_fit(tmp_path / "run", [], build=models.unbuilt_sequential)) == whole
    assert _result(_fit(tmp_path / "run", [], build=models.unbuilt_sequential)) == whole, "the finished run"


def test_finished_run_is_not_returned_for_changed_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fit(tmp_path / "run", [], epochs=1)
    monkeypatch.setitem(globals(), "X", X + 1)
    with pytest.raises(ResumeError, match="data differs from the recorded run; use another run folder"):
        _fit(tmp_path / "run", [], epochs=1)


def test_callback_list_of_the_user_is_unchanged(tmp_path: Path) -> None:
    listed = keras.callbacks.CallbackList([], add_history=True, model=_model())
    trainer = kr.ReproducibleTrainer(_model, seed=1, batch_size=8, strict=False)
    run = trainer.fit(X, Y, run_dir=tmp_path / "run", resume=True, verbose=0, callbacks=listed)
    assert [type(c).__name__ for c in listed.callbacks] == ["History"]
    assert run.fingerprint == trainer.fit(X, Y, run_dir=tmp_path / "plain", verbose=0).fingerprint
