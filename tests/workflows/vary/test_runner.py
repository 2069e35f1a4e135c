"""A script under changed conditions: verdicts belong to their variation; no file of the user changes."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from varied import score

from keras_repro.errors import LaunchError, RunFolderError
from keras_repro.ledger.reader import open_ledger
from keras_repro.processes.task import Task
from keras_repro.workflows.vary.catalogue import chosen
from keras_repro.workflows.vary.results import Variations
from keras_repro.workflows.vary.runner import VariationRunner
from keras_repro.workflows.vary.watcher import VariationWatcher

# Variations for forked children: those that act after TensorFlow has started.
LATE = "intra-threads,cpu-count,working-directory,file-order,leftover-files,variables"


@pytest.fixture
def varied(forkserver: Any, here: Path) -> Callable[..., Variations]:
    """Vary the conditions of a script in the working folder, in forked children."""

    def vary(script: str, variations: str, *arguments: str, **options: Any) -> Variations:
        task = Task(script=script, arguments=arguments, keep_hash_seed=True)
        given = {"folder": Path("runs"), "launcher": forkserver.launcher} | options
        with VariationRunner(task, **given) as runner:
            return runner.run(chosen(variations))

    return vary


def verdicts(variations: Variations) -> dict[str, str]:
    return {o.name: o.verdict for o in variations.outcomes}


@pytest.mark.parametrize("name", ["file-order", "leftover-files"])
def test_script_differs_only_under_its_own_variation(forkserver: Any, name: str) -> None:
    variations = score.run(name, LATE, forkserver.launcher)
    by_name = verdicts(variations)
    assert variations.repeat.verdict == "repeats"
    assert by_name.pop(name) == "differs"
    if name != "leftover-files":
        assert by_name.pop("leftover-files") == "not tried"
    assert set(by_name.values()) == {"repeats"}
    (differs,) = variations.with_verdict("differs")
    assert differs.where == "epoch 1 of fit 1"
    assert differs.distance is not None
    assert differs.distance > 0.01
    assert variations.trainings == 2 + len(variations.outcomes) - len(variations.with_verdict("not tried"))


def test_each_variation_has_a_script() -> None:
    assert {p.stem for p in score.HERE.glob("by_*.py")} == {score.script_of(n).stem for n in score.names()}


def test_result_is_right_only_for_the_one_variation() -> None:
    def result(*differs: str, **more: Any) -> score.Result:
        given = {"could_not_run": (), "not_tried": (), "seconds": 1.0} | more
        return score.Result(name="locale", differs=differs, **given)

    assert result("locale").right
    assert not result().right
    assert not result("locale", "xla").right
    assert not result("locale", could_not_run=("xla",)).right
    assert result(not_tried=("locale",)).right


# Reads, leaves and changes files, and trains on values of its environment.
SCRIPT = """
import os, sys
from pathlib import Path
import numpy as np, keras
Path("left.txt").write_text("left")
Path("mine.txt").write_text("changed")
number = 0.0
if "threads" in sys.argv:
    import tensorflow as tf
    tf.config.threading.set_intra_op_parallelism_threads(2)
if "determinism" in sys.argv:
    import tensorflow as tf
    tf.config.experimental.enable_op_determinism()
if "random" in sys.argv:
    number = int.from_bytes(os.urandom(3), "big")
if "fails" in sys.argv and os.environ.get("BUILD_NUMBER"):
    raise ValueError("this build is none")
if "outside" in sys.argv:
    Path(sys.argv[-1]).write_text(str(os.getpid()))
keras.utils.set_random_seed(1)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
model.fit(np.ones((8, 4)), np.full((8, 1), number), epochs=2, verbose=0)
if "late" in sys.argv and os.environ.get("BUILD_NUMBER"):
    print(model.evaluate(np.ones((8, 4)), np.ones((8, 1)), verbose=0))
"""


@pytest.fixture
def script(here: Path) -> str:
    (here / "train.py").write_text(SCRIPT)
    (here / "mine.txt").write_text("mine")
    return "train.py"


def test_setting_of_the_script_itself_is_not_tried(varied: Any, script: str, here: Path) -> None:
    variations = varied(script, "intra-threads,op-determinism,working-directory", "threads", "determinism")
    assert verdicts(variations) == {
        "intra-threads": "not tried",
        "op-determinism": "not tried",
        "working-directory": "repeats",
    }
    assert variations.outcomes[0].reason.startswith("the script sets it itself")
    # No file of the user has changed, and only ledgers are left.
    assert sorted(os.listdir(here)) == ["mine.txt", "runs", "train.py"]
    assert (here / "mine.txt").read_text() == "mine"
    assert sorted(os.listdir("runs")) == [
        "baseline",
        "intra-threads",
        "op-determinism",
        "repeat",
        "working-directory",
    ]
    for outcome in variations.outcomes:
        assert outcome.ledger is not None
        assert open_ledger(outcome.ledger).status == "finished"


def test_irreproducible_script_is_not_blamed_on_a_variation(varied: Any, script: str) -> None:
    variations = varied(script, "all", "random")
    assert (variations.repeat.verdict, variations.repeat.where) == ("differs", "epoch 1 of fit 1")
    assert set(verdicts(variations).values()) == {"not tried"}
    assert {o.reason for o in variations.outcomes} == {
        "the script does not repeat even under the same conditions"
    }
    assert variations.trainings == 2


def test_failure_is_no_difference(varied: Any, script: str) -> None:
    variations = varied(script, "variables,file-order", "fails")
    assert verdicts(variations) == {"file-order": "repeats", "variables": "could not run"}
    failed = variations.outcomes[-1]
    assert failed.output.splitlines()[-1] == "ValueError: this build is none"
    assert failed.reason.startswith("failed with exit code 1")


def test_result_after_training_in_only_one_run_differs(varied: Any, script: str) -> None:
    (outcome,) = varied(script, "variables", "late").outcomes
    assert (outcome.verdict, outcome.where, outcome.distance) == ("differs", "the script's exit", 0.0)


def test_failing_baseline_reports_its_copy(varied: Any, here: Path) -> None:
    (here / "train.py").write_text("open('../data.csv')")
    with pytest.raises(
        LaunchError, match=r"the baseline failed .* it ran in a copy of .*--no-copy"
    ) as raised:
        varied("train.py", "locale")
    assert "FileNotFoundError" in raised.value.output
    assert not (here / "runs" / "copies").exists()


def test_write_by_absolute_path_is_noted(varied: Any, script: str, here: Path) -> None:
    variations = varied(script, "variables", "outside", str(here / "by_path.txt"))
    assert variations.notes == ("a run wrote to your own folder, where all other runs find it: by_path.txt",)


def test_without_copies_runs_use_the_folder_itself(varied: Any, script: str, here: Path) -> None:
    variations = varied(script, "working-directory,leftover-files,variables", copy=False)
    assert verdicts(variations) == {
        "working-directory": "not tried",
        "leftover-files": "not tried",
        "variables": "repeats",
    }
    assert (here / "mine.txt").read_text() == "changed"
    assert "left.txt" in variations.notes[0]


class Counting(VariationWatcher):
    """Count the variations that run at the same time."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.seen: dict[str, int] = {}

    def on_start(self, name: str, change: str, ledger: Path) -> None:
        self.running.append(name)
        for running in self.running:
            self.seen[running] = max(self.seen.get(running, 0), len(self.running))

    def on_end(self, name: str, outcome: Any) -> None:
        if name in self.running:
            self.running.remove(name)


def test_variations_run_in_parallel_but_thread_variations_alone(varied: Any, script: str) -> None:
    watcher = Counting()
    names = "cpu-count,working-directory,file-order,leftover-files,variables"
    variations = varied(script, names, jobs=2, watcher=watcher)
    assert {o.verdict for o in variations.outcomes} <= {"repeats", "not tried"}
    assert variations.with_verdict("not tried") == tuple(
        o for o in variations.outcomes if o.name == "cpu-count" and len(os.sched_getaffinity(0)) < 2
    )
    assert watcher.seen.pop("file-order") == watcher.seen.pop("variables") == 2
    assert set(watcher.seen.values()) == {1}
    assert variations.notes == ()


def test_nothing_runs_in_parallel_unless_paths_do_not_matter(varied: Any, script: str) -> None:
    watcher = Counting()
    variations = varied(script, "file-order,variables", jobs=2, watcher=watcher)
    assert set(watcher.seen.values()) == {1}
    assert "not in parallel" in variations.notes[0]


def test_runs_are_replaced_only_if_requested(varied: Any, script: str, here: Path) -> None:
    (here / "runs" / "notes").mkdir(parents=True)
    varied(script, "variables")
    with pytest.raises(RunFolderError, match="--force"):
        varied(script, "variables")
    varied(script, "file-order", overwrite=True)
    assert sorted(os.listdir("runs")) == ["baseline", "file-order", "notes", "repeat"]


def test_ctrl_c_ends_the_child_and_removes_the_copies(process: Any, script: str, here: Path) -> None:
    child = process("-m", "keras_repro.cli", "verify", script, "--vary", "variables", "--run-dir", "runs")
    deadline = time.monotonic() + 60
    while not (here / "runs" / "baseline" / "output.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (here / "runs" / "copies" / "here").exists()
    child.send_signal(signal.SIGINT)
    _, message = child.communicate(timeout=60)
    assert child.returncode == 2
    assert message == (
        "keras-repro: SIGINT: ending the child processes\n"
        "keras-repro: interrupted: the child process has ended, the copies are removed, the records are kept "
        "in runs\n"
    )
    assert sorted(os.listdir(here)) == ["mine.txt", "runs", "train.py"]
    assert os.listdir(here / "runs") == ["baseline"]
    assert (here / "mine.txt").read_text() == "mine"


def test_settings_before_the_start_of_python_take_effect(here: Path) -> None:
    for name in ("by_hash_seed.py", "exact.py"):
        (here / name).write_text((score.HERE / name).read_text())
    task = Task(script="by_hash_seed.py", keep_hash_seed=True)
    with VariationRunner(task, folder=Path("runs")) as runner:
        variations = runner.run(chosen("hash-seed,onednn"))
    assert verdicts(variations) == {"hash-seed": "differs", "onednn": "repeats"}
    assert sys.flags.hash_randomization or os.environ.get("PYTHONHASHSEED")
    switches = [
        {s["name"]: s["achieved"] for s in open_ledger(Path("runs", name)).header["switches"]}
        for name in ("baseline", "hash-seed", "onednn")
    ]
    assert [s["hash_seed"] for s in switches][:2] != [s["hash_seed"] for s in switches][1:]
    assert switches[0]["onednn"] is not switches[2]["onednn"]


@pytest.fixture
def varying(command: Any, forkserver: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run `keras-repro verify --vary` in this process; its children are forked."""
    monkeypatch.setattr(
        "keras_repro.cli.commands.vary.VariationRunner",
        functools.partial(VariationRunner, launcher=forkserver.launcher),
    )
    return functools.partial(command, "verify")


def test_command_writes_text_json_and_html(varying: Any, script: str, here: Path) -> None:
    answer = varying(
        script, "--vary", "variables,file-order", "--json", "output.json", "--html", "page.html", "fails"
    )
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[:3] == [
        "2 variations of: train.py fails",
        "(observed: the script runs unchanged; a baseline and a repeat run first)",
        "working in copies of .",
    ]
    assert lines[-1] == "some variations could not run; repeats under 1 of 2 variations"
    data = json.loads((here / "output.json").read_text())
    assert [v["verdict"] for v in data["variations"]] == ["repeats", "could not run"]
    assert data["repeat"]["verdict"] == "repeats"
    assert data["trainings"] == 4
    assert "could not run" in (here / "page.html").read_text()
    assert varying(script, "--vary", "file-order", "--run-dir", "again").code == 0


def test_leftover_file_is_explained(varying: Any, here: Path) -> None:
    for name in ("by_leftover_files.py", "exact.py"):
        (here / name).write_text((score.HERE / name).read_text())
    answer = varying("by_leftover_files.py", "--vary", "leftover-files", "--explain", "--json", "output.json")
    assert answer.code == 1
    (variation,) = json.loads((here / "output.json").read_text())["variations"]
    assert variation["explanation"]["cause"] == "environment"
    assert variation["explanation"]["sentence"].startswith(
        "with other leftover-files (with 1 file of an earlier run)"
    )
    assert variation["explanation"]["source"]["file"] == str(here / "by_leftover_files.py")
    assert variation["explanation"]["fix"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--vary", "weather"), "there is no variation 'weather'; choose among: hash-seed, "),
        (("--vary", ""), "--vary needs a list of variations"),
        (("--vary", "all", "--runs", "5"), "remove --runs"),
        (("--jobs", "2"), "--jobs needs --vary"),
        (("--no-copy",), "--no-copy needs --vary"),
        (("--vary", "leftover-files", "--no-copy"), "none of the variations could be tried here"),
        (("--vary", "locale", "--json", "no/such.json"), "cannot write no/such.json"),
        (("--vary", "locale", "--html", "no/such.html"), "cannot write no/such.html"),
    ],
)
def test_misuse_is_refused_in_one_line(
    varying: Any, script: str, arguments: tuple[str, ...], message: str
) -> None:
    answer = varying(script, *arguments)
    assert answer.code == 2
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_variations_are_listed_without_a_script(varying: Any) -> None:
    answer = varying("--vary", "list")
    assert answer.code == 0
    assert answer.out.startswith("hash-seed\n  changes  PYTHONHASHSEED")
