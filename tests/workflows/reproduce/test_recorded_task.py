"""The task of recorded runs; anything missing is reported in one line, with exit code 2."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ledger_builders
import pytest
from conftest import Answer

from keras_repro.determinism.switches import pinned_environment
from keras_repro.errors import LaunchError
from keras_repro.ledger.reader import open_ledger
from keras_repro.processes.task import Task
from keras_repro.provenance.input_files import file_digest
from keras_repro.workflows.reproduce.recorded_task import task_from_specs
from keras_repro.workflows.reproduce.run_spec import read_run_spec

SCRIPT = {"script": "train.py", "module": None, "arguments": ["--epochs", "3"], "hidden": 0}


def task_from_runs(runs: Sequence[Path]) -> Task:
    return task_from_specs([read_run_spec(open_ledger(run)) for run in runs])


@pytest.fixture
def runs(here: Path) -> Callable[..., list[Path]]:
    """Make two runs of one script that diverge in epoch 2; each with its own changes of the header."""
    (here / "train.py").write_text("print('no training')\n")

    def make(*changes: dict[str, Any], **both: Any) -> list[Path]:
        records = ledger_builders.training()
        other = ledger_builders.changed(records, "epoch 0 1", "weights", ledger_builders.KERNEL, "other")
        environment = {"code": file_digest("train.py"), "variables": {}}
        made = []
        for name, run_records, change in zip("ab", (records, other), (*changes, {}, {})[:2], strict=True):
            header = {"command": SCRIPT, "environment": environment} | both | change
            inputs = header.pop("inputs", None)
            run_records = (
                run_records if inputs is None else [*run_records, ledger_builders.exit_record(inputs=inputs)]
            )
            made.append(ledger_builders.write(here / name, run_records, **header))
        return made

    return make


def test_task_comes_from_the_header(runs: Callable[..., list[Path]]) -> None:
    task = task_from_runs(runs(policies={"max_epochs": 2, "max_steps": 5}))
    assert task == Task(
        script="train.py",
        arguments=("--epochs", "3"),
        publish_arguments=True,
        keep_hash_seed=True,
        max_epochs=2,
        max_steps=5,
    )


def test_enforced_run_is_pinned_again(runs: Callable[..., list[Path]]) -> None:
    task = task_from_runs(runs(mode="enforced", seed=7))
    assert (task.seed, dict(task.pinned)) == (7, pinned_environment(7))


def test_observed_run_with_a_seed_is_not_pinned(runs: Callable[..., list[Path]]) -> None:
    task = task_from_runs(runs(seed=7))
    assert (task.seed, dict(task.pinned)) == (None, {})


def test_run_folder_in_arguments_is_no_difference(runs: Callable[..., list[Path]]) -> None:
    first, second = ({"command": SCRIPT | {"arguments": ["--out", n, f"--log={n}"]}} for n in "ab")
    assert task_from_runs(runs(first, second)).arguments == ("--out", "a", "--log=a")


def test_hash_seeds_differ_if_those_of_the_runs_did(runs: Callable[..., list[Path]]) -> None:
    code = file_digest("train.py")
    first, second = ({"environment": {"code": code, "variables": {"PYTHONHASHSEED": n}}} for n in "12")
    assert not task_from_runs(runs(first, second)).keep_hash_seed
    assert task_from_runs(runs(first, first)).keep_hash_seed


def test_task_may_run_a_module(runs: Callable[..., list[Path]]) -> None:
    command = {"script": None, "module": "json.tool", "arguments": [], "hidden": 0}
    assert task_from_runs(runs(command=command)) == Task(
        module="json.tool", publish_arguments=True, keep_hash_seed=True
    )


def _no_script(here: Path) -> None:
    (here / "train.py").unlink()


def _other_script(here: Path) -> None:
    (here / "train.py").write_text("print('another one')\n")


def _unchanged(here: Path) -> None:
    pass


REFUSED = {
    "hidden arguments": (
        ({"command": SCRIPT | {"hidden": 2}},),
        _unchanged,
        "2 of the script's arguments were not published: 'train.py --epochs 3'; give all of them after --, "
        "as in: keras-repro diagnose a b -- ARGUMENTS",
    ),
    "a notebook": (
        ({}, {"command": {}}),
        _unchanged,
        "b/ledger.jsonl does not record which script made the run (a notebook?): it cannot be run again",
    ),
    "no script": (
        (),
        _no_script,
        "no script at train.py, which made the runs: change to the folder in which they were started",
    ),
    "a folder of that name": (
        (),
        lambda here: ((here / "train.py").unlink(), (here / "train.py").mkdir()),
        "train.py is a folder without __main__.py: give a script, or -m and a module",
    ),
    "a changed script": (
        (),
        _other_script,
        "train.py has changed since the runs were made: restore the recorded version",
    ),
    "two versions": (
        ({}, {"environment": {"code": "00" * 16}}),
        _unchanged,
        "the runs were made with different versions of train.py: nothing to diagnose",
    ),
    "other arguments": (
        ({}, {"command": SCRIPT | {"arguments": ["--epochs", "4"]}}),
        _unchanged,
        "the runs are of different commands: arguments ['--epochs', '3'] and ['--epochs', '4']",
    ),
    "missing data": (
        (
            {},
            {
                "inputs": {
                    "files": [{"root": "working folder", "path": "x.npy", "bytes": 1280, "digest": None}]
                }
            },
        ),
        _unchanged,
        "input files recorded in b/ledger.jsonl are missing: x.npy (1,280 bytes); restore them",
    ),
    "changed code of its own": (
        ({"inputs": {"files": [{"root": "working folder", "path": "own.py", "bytes": 7, "digest": None}]}},),
        lambda here: (here / "own.py").write_text("x = 12345\n"),
        "own.py has changed since the runs were made: restore the recorded version",
    ),
    "another script": (
        ({}, {"command": SCRIPT | {"script": "other.py"}}),
        _unchanged,
        "the runs are of different commands: script train.py and other.py",
    ),
    "a script and a module": (
        ({}, {"command": SCRIPT | {"script": None, "module": "train"}}),
        _unchanged,
        "the runs are of different commands: script train.py and None",
    ),
    "no such module": (
        ({"command": {"module": "nowhere.train"}}, {"command": {"module": "nowhere.train"}}),
        _unchanged,
        "no module nowhere.train in {here} or among the installed packages",
    ),
    "an empty name": (
        ({"command": {"script": "", "arguments": None}},),
        _unchanged,
        "a/ledger.jsonl does not record which script made the run (a notebook?): it cannot be run again",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_runs_that_cannot_be_run_again_are_refused(
    name: str, runs: Callable[..., list[Path]], here: Path, command: Callable[..., Answer]
) -> None:
    changes, prepare, message = REFUSED[name]
    a, b = runs(*changes)
    prepare(here)
    # Relative, as a user gives them.
    answer = command("diagnose", a.relative_to(here), b.relative_to(here))
    assert answer.code == 2
    assert answer.err.splitlines() == [f"keras-repro: {message.format(here=here)}"]
    assert not (here / ".keras_repro").exists()


def test_identical_runs_need_no_script(
    runs: Callable[..., list[Path]], here: Path, command: Callable[..., Answer]
) -> None:
    a, _ = runs()
    answer = command("diagnose", a, a)
    assert (answer.code, answer.err) == (0, "")
    (here / "train.py").unlink()
    assert command("diagnose", a, a).code == 0


def test_missing_run_is_refused(here: Path, command: Callable[..., Answer]) -> None:
    answer = command("diagnose", "a", "b")
    assert answer.code == 2
    assert len(answer.err.splitlines()) == 1


def test_first_incomplete_ledger_is_named(runs: Callable[..., list[Path]]) -> None:
    with pytest.raises(LaunchError, match=r"a.ledger\.jsonl does not record which script"):
        task_from_runs(runs(command={}))
