"""Exact resume: a run that was interrupted anywhere equals the uninterrupted run after it is resumed."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from command_table import put, tree
from conftest import SCRIPTS
from forkserver import ForkServer
from training import models

import keras_repro as kr
from keras_repro.errors import ReproError, ResumeError, RunFolderError
from keras_repro.ledger.reader import open_ledger
from keras_repro.processes.protocol import Plan
from keras_repro.storage.run_folder import OUTPUT_NAME
from keras_repro.training.resume.tensorboard_files import note_process


@dataclass(frozen=True)
class Launched:
    """A process that has ended: its exit code and its output."""

    code: int
    output: str


Train = Callable[..., Launched]


@pytest.fixture(scope="module")
def train(forkserver: ForkServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Train]:
    """Run tests/scripts/interrupted.py in its own process: KIND FOLDER EVERY [MOMENT]."""
    before = Path.cwd()
    folder = tmp_path_factory.mktemp("resume")
    os.chdir(folder)
    count = iter(range(1000))

    def train(kind: str, run_dir: str, every: Any, moment: str = "never") -> Launched:
        plan_folder = folder / f"process-{next(count)}"
        plan_folder.mkdir()
        arguments = (kind, run_dir, str(every), moment)
        plan = Plan(folder=plan_folder, script=str(SCRIPTS / "interrupted.py"), arguments=arguments)
        outcome = forkserver.launcher.start(plan, environment=os.environ).wait()
        return Launched(outcome.code, (plan_folder / OUTPUT_NAME).read_text())

    yield train
    os.chdir(before)


def result(run_dir: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(Path(f"{run_dir}.json").read_text())
    return content


@pytest.fixture(scope="module")
def whole(train: Train) -> Callable[[str], dict[str, Any]]:
    """Return the result of a kind of training without interruption."""
    results: dict[str, dict[str, Any]] = {}

    def of(kind: str) -> dict[str, Any]:
        if kind not in results:
            launched = train(kind, f"whole-{kind}", "epoch")
            assert launched.code == 0, launched.output
            results[kind] = result(f"whole-{kind}")
            assert results[kind]["status"] == "finished"
            assert "partial" not in results[kind]["fingerprint"]
        return results[kind]

    return of


@pytest.mark.parametrize(
    ("kind", "every", "moment"),
    [
        ("mlp", 3, "kill:0.3"),  # within an epoch, before the first epoch record
        ("mlp", 3, "kill:2.6"),  # at an epoch's last step
        ("mlp", "epoch", "int:1.test"),  # during validation
        ("mlp", "epoch", "kill:0.2"),  # before the first snapshot
        ("several steps a call", 4, "kill:1.3"),
        ("cnn", 2, "term:1.4"),
        ("lstm", 5, "kill:1.test"),  # during validation
        ("attention", "epoch", "kill:2.end"),  # at an epoch's end, before its snapshot
        ("gan", 3, "kill:0.4"),
        ("loss scale", 4, "kill:1.5"),
        ("py dataset", 3, "kill:1.4"),
        ("tf.data", 3, "kill:2.4"),
    ],
)
def test_resumed_run_equals_uninterrupted_run(
    train: Train, whole: Callable[[str], dict[str, Any]], kind: str, every: Any, moment: str
) -> None:
    expected = whole(kind)
    run_dir = f"{kind}-{every}-{moment.replace(':', '-')}"
    launched = train(kind, run_dir, every, moment)
    code = {"kill": -signal.SIGKILL, "term": -signal.SIGTERM, "int": 130}[moment.partition(":")[0]]
    assert launched.code == code, launched.output
    assert not Path(f"{run_dir}.json").exists()
    before = list(open_ledger(run_dir).records())
    launched = train(kind, run_dir, every)
    assert launched.code == 0, launched.output
    assert result(run_dir) == expected
    after = open_ledger(run_dir)
    assert list(after.records())[: len(before)] == before, "records are lost"
    assert after.fingerprint == expected["fingerprint"]


def test_finished_run_is_returned_as_recorded(train: Train, whole: Callable[[str], dict[str, Any]]) -> None:
    expected = whole("mlp")
    ledger = Path("whole-mlp/ledger.jsonl").read_bytes()
    # The run is finished: there is no step at which it could be killed.
    launched = train("mlp", "whole-mlp", "epoch", "kill:0.0")
    assert launched.code == 0, launched.output
    again = result("whole-mlp")
    assert (again["fingerprint"], again["history"]) == (expected["fingerprint"], expected["history"])
    assert again["weights"] == expected["weights"]
    assert Path("whole-mlp/ledger.jsonl").read_bytes() == ledger


def test_finished_run_of_model_built_in_first_step_is_returned(
    train: Train, whole: Callable[[str], dict[str, Any]]
) -> None:
    expected = whole("gan")
    ledger = Path("whole-gan/ledger.jsonl").read_bytes()
    launched = train("gan", "whole-gan", "epoch", "kill:0.0")
    assert launched.code == 0, launched.output
    assert result("whole-gan") == expected
    assert Path("whole-gan/ledger.jsonl").read_bytes() == ledger


def test_damaged_snapshot_falls_back_to_previous(
    train: Train, whole: Callable[[str], dict[str, Any]]
) -> None:
    train("mlp", "damaged", 2, "kill:1.5")
    newest = max(Path("damaged/snapshots").glob("resume-*.h5"), key=lambda p: p.stat().st_mtime_ns)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    launched = train("mlp", "damaged", 2)
    assert launched.code == 0
    assert f"{newest.name} is not the recorded file: its digest differs" in launched.output
    assert "using the previous snapshot" in launched.output
    assert result("damaged") == whole("mlp")


X = np.arange(64, dtype="float32").reshape(16, 4) / 64


class _Fails(keras.callbacks.Callback):
    """Fail at the start of an epoch."""

    def __init__(self, epoch: int = 1) -> None:
        super().__init__()
        self._epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self._epoch:
            raise ValueError("it fails")


def _model(units: int = 3, dtype: str = "float32") -> Any:
    layers = [keras.Input((4,)), keras.layers.Dense(units, dtype=dtype), keras.layers.Dense(1)]
    return models.compiled(keras.Sequential(layers), run_eagerly=True)


def _fit(run_dir: Path, *, x: Any = X, build: Any = _model, **changed: Any) -> Any:
    made = {"seed": 1, "batch_size": 4, "strict": False, "shuffle": "every_epoch"}
    trainer = kr.ReproducibleTrainer(build, **(made | {n: v for n, v in changed.items() if n in made}))
    given = {"epochs": 3, "resume": True, "verbose": 0} | {n: v for n, v in changed.items() if n not in made}
    return trainer.fit(x, x[:, :1], run_dir=run_dir, **given)


@pytest.fixture
def interrupted(tmp_path: Path) -> Path:
    """A run that failed in its second epoch."""
    with pytest.raises(ValueError, match="it fails"):
        _fit(tmp_path / "run", callbacks=[_Fails()])
    assert open_ledger(tmp_path / "run").status == "killed"
    return tmp_path / "run"


def test_failed_run_can_be_resumed(interrupted: Path, tmp_path: Path) -> None:
    class Harmless(keras.callbacks.Callback):
        pass

    Harmless.__name__ = _Fails.__name__
    again = _fit(interrupted, callbacks=[Harmless()])
    whole = _fit(tmp_path / "whole")
    assert again.fingerprint == whole.fingerprint
    assert again.history == whole.history
    assert [w.tobytes() for w in again.model.get_weights()] == [
        w.tobytes() for w in whole.model.get_weights()
    ]


def test_interrupted_run_can_be_extended(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it fails"):
        _fit(tmp_path / "run", callbacks=[_Fails()], epochs=2)
    longer = _fit(tmp_path / "run", callbacks=[type("_Fails", (keras.callbacks.Callback,), {})()], epochs=4)
    assert longer.fingerprint == _fit(tmp_path / "whole", epochs=4).fingerprint


@pytest.mark.parametrize("epochs", [1, 2, 4])
def test_finished_run_keeps_its_length(epochs: int, tmp_path: Path) -> None:
    whole = _fit(tmp_path / "run")
    ledger = (tmp_path / "run/ledger.jsonl").read_bytes()
    with pytest.raises(
        ResumeError, match=rf"with epochs={epochs}: the run in .* is finished with epochs=3. Use epochs=3 to"
    ):
        _fit(tmp_path / "run", epochs=epochs)
    assert (tmp_path / "run/ledger.jsonl").read_bytes() == ledger
    assert _fit(tmp_path / "run").fingerprint == whole.fingerprint


def test_run_cannot_end_before_its_position(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it fails"):
        _fit(tmp_path / "run", callbacks=[_Fails(2)])
    before = (tmp_path / "run/ledger.jsonl").read_bytes()
    with pytest.raises(
        ResumeError, match=r"epochs=1: the run in .* has already reached epoch 3 of 3. Use epochs>=2, or"
    ):
        _fit(tmp_path / "run", callbacks=[_Fails(2)], epochs=1)
    assert (tmp_path / "run/ledger.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 2}, r"seed changed since the interruption \(seed: 1 before, 2 now\)\. Restore it"),
        ({"batch_size": 8}, r"batch_size changed .* \(batch_size: 4 before, 8 now\)"),
        ({"shuffle": "once"}, "shuffle changed since the interruption"),
        ({"build": lambda: _model(dtype="mixed_bfloat16")}, "its configuration differs"),
        ({"x": X + 1}, "its data differ"),
        ({"build": lambda: _model(units=5)}, "its configuration differs"),
        ({"class_weight": {0: 2.0}}, "its arguments differ"),
        ({"validation_data": (X, X[:, :1])}, "its validation data differ"),
        ({"callbacks": [keras.callbacks.TerminateOnNaN()]}, "the callbacks are TerminateOnNaN, History"),
    ],
)
def test_changed_training_is_refused(interrupted: Path, changed: Any, message: str) -> None:
    before = (interrupted / "ledger.jsonl").read_bytes()
    with pytest.raises(ReproError, match=message):
        _fit(interrupted, **({"callbacks": [_Fails()]} | changed))
    assert (interrupted / "ledger.jsonl").read_bytes() == before


def test_run_stopped_by_divergence_is_not_resumed(tmp_path: Path) -> None:
    _fit(tmp_path / "other", seed=2)
    with pytest.warns(UserWarning, match="the training stops here"):
        _fit(tmp_path / "run", reference=tmp_path / "other")
    with pytest.raises(
        ResumeError, match=r"a divergence or an error has ended this run\. Use another run folder"
    ):
        _fit(tmp_path / "run")


def test_second_run_in_same_folder_is_refused(tmp_path: Path) -> None:
    class Nested(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            with pytest.raises(RunFolderError, match="is in use by this process"):
                _fit(tmp_path / "run")

    _fit(tmp_path / "run", callbacks=[Nested()], epochs=1)


def test_value_that_no_snapshot_contains_is_reported_once(tmp_path: Path) -> None:
    class Counts(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.count = Fraction(0)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.count += 1

    text = "no snapshot contains a part of the state, so a resume is refused: callback Counts.count"
    with pytest.warns(UserWarning, match=text) as warned:
        _fit(tmp_path / "run", callbacks=[Counts()])
    assert len(warned) == 1
    notes = [r["text"] for r in open_ledger(tmp_path / "run").records() if r["kind"] == "note"]
    assert [note.partition(" (")[0] for note in notes] == [text]


def test_newest_snapshots_are_kept_and_those_of_replaced_run_are_removed(tmp_path: Path) -> None:
    _fit(tmp_path / "run", snapshots=3, snapshot_every=2)
    names = {p.name for p in (tmp_path / "run" / "snapshots").iterdir()}
    assert names == {"resume-end.h5", "resume-epoch-4-step-0.h5", "resume-epoch-3-step-2.h5"}
    _fit(tmp_path / "run", resume=False, overwrite=True, snapshot_every="epoch", epochs=1, snapshots=1)
    assert {p.name for p in (tmp_path / "run" / "snapshots").iterdir()} == {"resume-end.h5"}


def test_age_of_snapshots_does_not_depend_on_file_times(tmp_path: Path) -> None:
    """A run folder may be a copy, or a clock may have been set back."""
    with pytest.raises(ValueError, match="it fails"):
        _fit(tmp_path / "run", callbacks=[_Fails(2)], snapshots=3)
    for age, name in enumerate(["resume-epoch-2-step-0.h5", "resume-epoch-3-step-0.h5"]):
        os.utime(tmp_path / "run/snapshots" / name, (1000 - age, 1000 - age))
    _fit(tmp_path / "run", callbacks=[type("_Fails", (keras.callbacks.Callback,), {})()], snapshots=3)
    names = {p.name for p in (tmp_path / "run/snapshots").iterdir()}
    assert names == {"resume-epoch-3-step-0.h5", "resume-epoch-4-step-0.h5", "resume-end.h5"}


def test_snapshots_do_not_change_the_training(tmp_path: Path) -> None:
    plain = _fit(tmp_path / "plain", resume=False)
    assert _fit(tmp_path / "steps", snapshot_every=1).fingerprint == plain.fingerprint
    assert _fit(tmp_path / "background", snapshot_every=1, background=True).fingerprint == plain.fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"snapshot_every": 0}, "snapshot_every must be 'epoch' or a number of steps from 1, received 0"),
        ({"snapshot_every": "step"}, "snapshot_every must be"),
        ({"snapshots": 0}, "snapshots must be a whole number from 1, received 0"),
    ],
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _fit(tmp_path / "run", **arguments)


def test_resume_needs_a_run_folder() -> None:
    trainer = kr.ReproducibleTrainer(_model, seed=1, batch_size=4, strict=False)
    with pytest.raises(TypeError, match="run_dir is missing"):
        trainer.fit(X, X[:, :1], resume=True)


def test_kept_epochs_survive_an_interruption(tmp_path: Path) -> None:
    expected = {"all": ["1", "2", "3"], "last": ["3"], "some": ["1", "3"]}
    for name, epochs in expected.items():
        keep: Any = [1, 3] if name == "some" else name
        with pytest.raises(ValueError, match="it fails"):
            _fit(tmp_path / name, callbacks=[_Fails(2)], keep=keep)
        if name == "last":  # as if killed before the previous snapshot was removed
            folder = tmp_path / "last/snapshots"
            (folder / "fit-1-epoch-1.h5").write_bytes((folder / "fit-1-epoch-2.h5").read_bytes())
        _fit(tmp_path / name, callbacks=[type("_Fails", (keras.callbacks.Callback,), {})()], keep=keep)
        kept = sorted(p.name for p in (tmp_path / name / "snapshots").glob("fit-*"))
        assert kept == [f"fit-1-epoch-{epoch}.h5" for epoch in epochs]


def test_links_below_the_run_folder_are_not_followed(interrupted: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (interrupted / "snapshots").rename(outside)
    put(outside, ["resume-epoch-9-step-0.h5.part", "fit-9-end.h5", "processes.txt"])
    (interrupted / "snapshots").symlink_to(outside)
    before = tree(tmp_path)
    for options in ({}, {"resume": False, "overwrite": True, "snapshot_every": "epoch"}):
        with pytest.raises(RunFolderError, match="run holds snapshots, which keras_repro did not write"):
            _fit(interrupted, **options)
    with pytest.raises(RunFolderError, match="run holds snapshots"):
        kr.DeterminismCallback(interrupted, overwrite=True)
    assert tree(tmp_path) == before
    (interrupted / "snapshots").unlink()
    (interrupted / "processes.txt").symlink_to(outside / "processes.txt")
    before = tree(tmp_path)
    with pytest.raises(ResumeError, match=r"cannot open .*processes\.txt: it is a link"):
        note_process(interrupted, continues=True)
    (interrupted / "processes.txt").unlink()
    (interrupted / "processes.txt").write_text("my processes\n")
    with pytest.raises(ResumeError, match=r"processes\.txt is not a list of processes: choose another"):
        note_process(interrupted, continues=False)
    assert (interrupted / "processes.txt").read_text() == "my processes\n"
    assert {n: v for n, v in tree(tmp_path).items() if n.startswith("outside")} == {
        n: v for n, v in before.items() if n.startswith("outside")
    }


def test_refused_run_leaves_the_snapshots_of_the_earlier_one(interrupted: Path, tmp_path: Path) -> None:
    before = tree(tmp_path)
    with pytest.raises(RunFolderError, match="holds a run already"):
        _fit(interrupted, resume=False, snapshot_every="epoch")
    assert tree(tmp_path) == before
    # In a folder without a run, files with such names are of others.
    put(tmp_path / "other", ["snapshots/resume-epoch-1-step-0.h5", "snapshots/fit-1-end.h5"])
    before = tree(tmp_path)
    for options in ({}, {"resume": False, "overwrite": True, "keep": "last"}):
        with pytest.raises(RunFolderError, match=r"other holds snapshots/fit-1-end\.h5, snapshots/resume"):
            _fit(tmp_path / "other", **options)
    assert tree(tmp_path) == before
