"""`keras-repro reproduce`: the differences before the training, and the grade after it."""

from __future__ import annotations

import json
import os
import pty
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ledger_builders
import numpy as np
import pytest
from conftest import Answer, Child

from keras_repro.ledger.reader import open_ledger

CNN = """
import sys
import keras, numpy as np
keras.utils.set_random_seed(1)
x = np.load("x.npy")
layers = [keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.Flatten(), keras.layers.Dense(1)]
model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
model.compile("adam", "mse")
model.fit(x, x.sum((1, 2)), epochs=int(sys.argv[1]), verbose=0)
"""

TRAINER = """
import keras, numpy as np, keras_repro as kr
def build():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model
x = np.arange(32, dtype="float32").reshape(8, 4) / 32
for seed in (1, 2):
    trainer = kr.ReproducibleTrainer(build, seed=seed, batch_size=4)
    trainer.fit(x, x[:, :1], epochs=2, run_dir=f"runs/{seed}", verbose=0)
"""


@pytest.fixture
def recorded(written: Callable[..., str], launched: Callable[..., Child], here: Path) -> Path:
    """A run of a small CNN over two epochs, with two threads; recorded in `run`."""
    images = np.random.default_rng(0).normal(size=(256, 8, 8, 1)).astype("float32")
    np.save(here / "x.npy", images)
    child = launched(written(CNN, "train.py"), "2", publish_arguments=True)
    assert child.outcome.code == 0, child.output
    return child.folder


def test_copied_folder_is_reproduced_bit_identical(
    recorded: Path, command: Callable[..., Answer], tmp_path_factory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "copy"
    shutil.copytree(recorded.parent, elsewhere)
    monkeypatch.chdir(elsewhere)
    answer = command("reproduce", "run", "--yes", "--json", "out.json")
    assert (answer.code, answer.err) == (0, ""), answer.out
    lines = answer.out.splitlines()
    fingerprint = open_ledger(recorded).fingerprint
    assert lines[0] == f"reproducing run/ledger.jsonl, fingerprint {fingerprint}"
    assert lines[1] == "command: train.py 2 (observed)"
    assert lines[2] == "script: your file train.py, as recorded"
    assert lines[-1].startswith("grade: bitwise (")
    assert f"are bit-identical; both runs have the fingerprint {fingerprint}." in lines[-2]
    data = json.loads((elsewhere / "out.json").read_text())
    assert (data["verdict"], data["grade"]["name"], data["command"]) == (
        "identical",
        "bitwise",
        "train.py 2",
    )
    assert Path(data["runs"][1]["ledger"]).parent.parent == Path(".keras_repro")


def test_changed_bit_of_the_data_is_listed_and_diverges(
    recorded: Path, command: Callable[..., Answer], here: Path
) -> None:
    data = bytearray((here / "x.npy").read_bytes())
    data[-2] ^= 1 << 6  # of a float32, a bit of the exponent
    (here / "x.npy").write_bytes(data)
    answer = command("reproduce", "run", "--yes")
    assert answer.code == 1
    before, diverged, after = answer.out.partition("diverged: ")
    assert "data x.npy" in before
    assert "other content" in before
    assert diverged
    assert "at epoch 1/2: weights differ" in after
    assert "; the run continues so that it can be graded" in after
    assert "run 1/1:" in after
    assert answer.out.splitlines()[-1].startswith("grade: different (")
    (again,) = (here / ".keras_repro").glob("reproduction-*")
    assert sum(r.kind == "epoch" for r in open_ledger(again).typed_records()) == 2


def test_threads_are_set_as_recorded_unless_no_pin(
    recorded: Path, command: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "1")
    answer = command("reproduce", "run", "--yes")
    assert answer.code == 0, answer.out
    assert "set as recorded: " in answer.out
    assert "TF_NUM_INTRAOP_THREADS=2" in answer.out
    answer = command("reproduce", "run", "--yes", "--no-pin")
    assert answer.code == 1, answer.out
    assert "switch intra_op_threads differs: 2 and 1" in answer.out
    assert "grade: different (" in answer.out.splitlines()[-1]


def test_other_package_version_is_listed_first(here: Path, process: Any) -> None:
    """Two environments, each with its own version of a package: real processes."""
    for version, factor in (("1.0", 1), ("2.0", 3)):
        folder = here / f"environment-{version}"
        (folder / f"scaling-{version}.dist-info").mkdir(parents=True)
        metadata = f"Metadata-Version: 2.1\nName: scaling\nVersion: {version}\n"
        (folder / f"scaling-{version}.dist-info" / "METADATA").write_text(metadata)
        (folder / f"scaling-{version}.dist-info" / "top_level.txt").write_text("scaling\n")
        (folder / "scaling.py").write_text(f"def scale(x):\n    return x * {factor}\n")
    work = here / "work"
    work.mkdir()
    np.save(work / "x.npy", np.ones((16, 8, 8, 1), "float32"))
    script = CNN.replace("import sys", "import sys\nfrom scaling import scale")
    (work / "train.py").write_text(script.replace('np.load("x.npy")', 'scale(np.load("x.npy"))'))

    def run(version: str, *arguments: str) -> Answer:
        path = os.pathsep.join([str(Path(__file__).parents[1]), str(here / f"environment-{version}")])
        os.chdir(work)
        child = process("-m", "keras_repro.cli", *arguments, PYTHONPATH=path, TF_CPP_MIN_LOG_LEVEL="3")
        out, err = child.communicate()
        return Answer(child.returncode, out, err)

    first = run("1.0", "run", "--run-dir", "runs/a", "--publish-arguments", "train.py", "1")
    assert first.code == 0, first.err
    again = run("2.0", "reproduce", "--yes", "runs/a")
    assert again.code == 1, again.err
    before, _, after = again.out.partition("diverged: ")
    assert before.splitlines()[3:5] == [
        "differs here:",
        "package scaling    1.0    2.0    it may prepare the data differently",
    ]
    assert "x and y given to fit differ" in after
    assert "grade: different (" in after
    assert "enforced, seed 42" in before


def test_run_of_a_trainer_is_found_among_runs_of_its_script(
    written: Callable[..., str], launched: Callable[..., Child], command: Callable[..., Answer], here: Path
) -> None:
    child = launched(written(TRAINER, "train.py"))
    assert child.outcome.code == 0, child.output
    shutil.move(child.folder / "runs" / "runs", here / "kept")
    for seed in "12":
        ledger = open_ledger(here / "kept" / seed)
        answer = command("reproduce", f"kept/{seed}", "--yes")
        assert answer.code == 0, answer.out
        assert str(ledger.fingerprint) in answer.out.splitlines()[-2]
        assert "diverged" not in answer.out


def test_missing_files_are_listed_and_nothing_is_run(
    recorded: Path, command: Callable[..., Answer], here: Path
) -> None:
    (here / "x.npy").unlink()
    answer = command("reproduce", "run", "--yes")
    assert answer.code == 2
    assert "missing here:" in answer.out
    assert answer.err == (
        "keras-repro: cannot reproduce run: data x.npy (restore it); to run it nevertheless: --anyway\n"
    )
    assert not (here / ".keras_repro").exists()
    answer = command("reproduce", "run", "--yes", "--anyway")
    assert answer.code == 2
    assert "failed with exit code 1" in answer.err
    (here / "train.py").unlink()
    answer = command("reproduce", "run", "--yes", "--anyway")
    assert answer.code == 2
    assert answer.err == (
        "keras-repro: cannot reproduce run: train.py (change to the folder in which it was "
        "started, or give its path with --script), data x.npy (restore it)\n"
    )


def test_changed_script_runs_only_with_anyway(
    recorded: Path, command: Callable[..., Answer], here: Path
) -> None:
    (here / "train.py").write_text(CNN.replace("adam", "sgd"))
    answer = command("reproduce", "run", "--yes")
    assert answer.code == 2
    assert "changed since the recording:" in answer.out
    answer = command("reproduce", "run", "--yes", "--anyway")
    assert answer.code == 1
    assert "grade: different" in answer.out
    (here / "moved").mkdir()
    (here / "moved" / "other.py").write_text(CNN)
    answer = command("reproduce", "run", "--yes", "--script", "moved/other.py")
    assert answer.code == 0, answer.out


def test_nothing_runs_without_consent(recorded: Path, command: Callable[..., Answer], here: Path) -> None:
    answer = command("reproduce", "run")
    assert answer.code == 2
    assert answer.err == "keras-repro: aborted: pass --yes to run the recorded command without asking\n"
    assert "command: train.py 2 (observed)" in answer.out
    assert not (here / ".keras_repro").exists()


@pytest.mark.parametrize(("reply", "code"), [("n", 2), ("", 2), ("y", 0)])
def test_user_at_a_terminal_is_asked(
    recorded: Path,
    command: Callable[..., Answer],
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    reply: str,
    code: int,
) -> None:
    controller, device = pty.openpty()
    os.write(controller, f"{reply}\n".encode())
    with open(device) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        answer = command("reproduce", "run")
    os.close(controller)
    assert answer.code == code, answer.err
    assert "Run this command here? [y/N] " in answer.out
    assert (here / ".keras_repro").exists() == (code == 0)


def test_unpublished_arguments_must_be_given(
    written: Callable[..., str], command: Callable[..., Answer], launched: Callable[..., Child], here: Path
) -> None:
    np.save(here / "x.npy", np.ones((16, 8, 8, 1), "float32"))
    launched(written(CNN, "train.py"), "1", "--token=abc")
    answer = command("reproduce", "run", "--yes")
    assert answer.code == 2
    assert answer.err == (
        "keras-repro: 2 of the script's arguments were not published: 'train.py <hidden> --token=<hidden>'; "
        "give all of them after --, as in: keras-repro reproduce run -- ARGUMENTS\n"
    )
    answer = command("reproduce", "run", "--yes", "--", "1", "--key=xyz")
    assert answer.err == "keras-repro: argument 2 of the script was '--token=<hidden>', got '--key=xyz'\n"
    answer = command("reproduce", "run", "--yes", "--", "1")
    assert (
        answer.err == "keras-repro: the run had 2 arguments ('train.py <hidden> --token=<hidden>'), got 1\n"
    )
    answer = command("reproduce", "run", "--yes", "--", "1", "--token=xyz")
    assert answer.code == 0, answer.err
    assert "xyz" not in (here / ".keras_repro" / "reproduction-1" / "ledger.jsonl").read_text()


def test_control_characters_are_escaped_in_output(command: Callable[..., Answer], here: Path) -> None:
    script = {"script": "x\x1b[31m.py", "module": None, "arguments": ["[red]\x1b[2J"], "hidden": 0}
    ledger_builders.write(here / "a", ledger_builders.training(), command=script)
    answer = command("reproduce", "a", "--yes", "--anyway")
    assert answer.code == 2
    assert "\x1b" not in answer.out + answer.err
    assert "command: x\\x1b[31m.py [red]\\x1b[2J (observed)" in answer.out
