"""`keras-repro run SCRIPT --resume`: a script's trainings continue after its process was interrupted."""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from conftest import SCRIPTS, Answer
from forkserver import ForkServer

from keras_repro.errors import RunFolderError
from keras_repro.ledger.reader import open_ledger
from keras_repro.storage.run_lock import RunLock

Run = Callable[..., Answer]


@pytest.fixture
def run(command: Run, here: Path, forkserver: ForkServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call `keras-repro run --resume`; the script runs in a forked child."""
    monkeypatch.setattr("keras_repro.cli.commands.run.LAUNCHER", forkserver.launcher)
    for name in ("two_fits.py", "plain_fit.py", "small.py"):
        shutil.copy(SCRIPTS / name, name)
    return partial(command, "run", "--resume")


def _results() -> dict[str, str]:
    return {name: Path(f"{name}.txt").read_text() for name in ("first", "second")}


def _folders(folder: str) -> list[str]:
    return sorted(p.name for p in Path(folder).iterdir() if p.is_dir())


def test_script_interrupted_anywhere_is_resumed(run: Run, here: Path) -> None:
    answer = run("--run-dir", "whole", "two_fits.py")
    assert answer.code == 0, answer
    whole, expected = open_ledger("whole"), _results()
    assert answer.out.split()[-1] == whole.fingerprint
    assert whole.fingerprint is not None
    assert whole.fingerprint.startswith("kr1-smro-")
    assert _folders("whole") == ["fit-1", "fit-2"]
    steps = Path("steps.txt").read_text().split()
    Path("steps.txt").unlink()
    for moment, how, code in (
        ("0.0.2", "HUP", 129),
        ("0.1.2", "TERM", 143),
        ("1.0.2", "INT", 130),
        ("1.1.0", "KILL", 137),
    ):
        shutil.rmtree("run", ignore_errors=True)
        answer = run("--run-dir", "run", "two_fits.py", moment, how)
        assert answer.code == code, answer
        hint = "run the same command again to continue in run"
        assert f"keras-repro: two_fits.py was interrupted by SIG{how}: {hint}" in answer.err
        before = list(open_ledger("run").records())
        assert open_ledger("run").status == "killed"
        answer = run("--run-dir", "run", "two_fits.py", moment, how)
        assert answer.code == 0, answer
        assert _results() == expected
        assert open_ledger("run").fingerprint == whole.fingerprint
        assert list(open_ledger("run").records())[: len(before)] == before
        steps_made = Path("steps.txt").read_text().split()
        assert sorted(set(steps_made)) == sorted(steps)
        # After a signal no step is repeated; after the kill the snapshot of 1.0.1 is restored.
        assert len(steps_made) - len(steps) == (2 if how == "KILL" else 0)
        Path("steps.txt").unlink()
        Path("interrupted").unlink()
    ledgers = {p: p.read_bytes() for p in Path("run").rglob("ledger.jsonl")}
    assert run("--run-dir", "run", "two_fits.py").code == 0
    assert not Path("steps.txt").exists(), "a finished script trained again"
    assert _results() == expected
    assert {p: p.read_bytes() for p in ledgers} == ledgers


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (
            "fit",
            "the script calls Model.fit directly, which cannot be resumed: "
            "use kr.ReproducibleTrainer(...).fit(...) (docs/resume.md), or omit --resume",
        ),
        (
            "batches",
            "the script calls train_on_batch directly, which cannot be resumed: "
            "use kr.ReproducibleTrainer(...).fit(...) (docs/resume.md), or omit --resume",
        ),
        (
            "nothing",
            "the script never called kr.ReproducibleTrainer.fit, so there is nothing to resume: "
            "use the trainer (docs/resume.md) or omit --resume",
        ),
    ],
    ids=["fit", "batches", "nothing"],
)
def test_script_without_trainer_is_refused(run: Run, how: str, message: str, forkserver: ForkServer) -> None:
    before = forkserver.messages()
    assert run("plain_fit.py", how).code == 2
    messages = forkserver.messages().removeprefix(before)
    assert messages.splitlines()[-1] == f"keras-repro: {message}"
    assert not (Path(".keras_repro") / "plain_fit-resumable" / "ledger.jsonl").exists()


def test_force_and_a_folder_in_use_are_refused(run: Run, here: Path) -> None:
    answer = run("--force", "--run-dir", "a", "two_fits.py")
    assert answer.code == 2
    assert "--resume continues the run that --force would replace" in answer.err
    Path("a").mkdir()
    holder = "import sys; from pathlib import Path; from keras_repro.storage.run_lock import RunLock\n"
    holder += "lock = RunLock(Path('a')); print('locked', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "locked\n"
        answer = run("--run-dir", "a", "two_fits.py")
        assert answer.code == 2
        assert f"run folder a is in use by process {process.pid}: wait for it to end" in answer.err
        process.kill()


def test_changed_seed_is_refused(run: Run, here: Path) -> None:
    assert run("two_fits.py", "0.0.1", "TERM").code == 143
    before = Path(".keras_repro/two_fits-resumable/ledger.jsonl").read_bytes()
    answer = run("--pin-seed", "7", "two_fits.py", "0.0.1", "TERM")
    assert answer.code == 2, answer
    assert Path(".keras_repro/two_fits-resumable/ledger.jsonl").read_bytes() == before


def _wait_for(moment: str) -> None:
    """Wait until the script has reached a moment."""
    while not (Path("steps.txt").exists() and moment in Path("steps.txt").read_text().split()):
        time.sleep(0.05)


def test_ctrl_c_at_a_terminal_is_one_signal(here: Path) -> None:
    shutil.copy(SCRIPTS / "two_fits.py", "two_fits.py")
    words = ["run", "--resume", "--run-dir", "run", "two_fits.py", "0.1.2", "WAIT"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "keras_repro.cli", *words])
    _wait_for("0.1.2")
    os.write(terminal, b"\x03")  # to both the launcher and its child
    output = b""
    with contextlib.suppress(OSError):  # raised when the terminal is closed
        while block := os.read(terminal, 4096):
            output += block
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130, output.decode()
    assert b"keras-repro: SIGINT: the script writes a snapshot and ends" in output
    assert b"was interrupted by SIGINT: run the same command again to continue in run" in output
    marks = [r for r in open_ledger("run/fit-1").records() if r["kind"] == "snapshot"]
    assert [(m["epoch"], m["step"]) for m in marks] == [(1, 0), (1, 3)]


def test_training_continues_after_its_launcher_is_killed(
    run: Run, here: Path, process: Callable[..., subprocess.Popen[str]]
) -> None:
    words = ["--run-dir", "run", "two_fits.py", "0.1.2", "WAIT"]
    with process("-m", "keras_repro.cli", "run", "--resume", *words) as launcher:
        _wait_for("0.1.2")
        launcher.kill()
    child = int(Path("run/lock").read_text().split()[0])
    answer = run(*words)
    assert answer.code == 2
    assert f"run folder run is in use by process {child}: wait for it to end" in answer.err
    os.kill(child, signal.SIGTERM)
    while _is_in_use(Path("run")):
        time.sleep(0.05)
    assert run(*words).code == 0
    assert Path("steps.txt").read_text().split().count("0.1.2") == 1


def _is_in_use(folder: Path) -> bool:
    try:
        RunLock(folder).close()
    except RunFolderError:
        return True
    return False
