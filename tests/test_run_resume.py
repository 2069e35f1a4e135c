"""`keras-repro run SCRIPT --resume`: a script's trainings go on where its process was ended."""

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
from keras_repro.processes import child as launch
from keras_repro.storage.run_lock import RunLock

Run = Callable[..., Answer]


@pytest.fixture
def run(command: Run, here: Path, forkserver: ForkServer, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `keras-repro run --resume`, the script in a forked child."""
    monkeypatch.setattr(launch, "LAUNCHER", forkserver.launcher)
    for name in ("two_fits.py", "plain_fit.py", "small.py"):
        shutil.copy(SCRIPTS / name, name)
    return partial(command, "run", "--resume")


def _told() -> dict[str, str]:
    return {name: Path(f"{name}.txt").read_text() for name in ("first", "second")}


def _folders(folder: str) -> list[str]:
    return sorted(p.name for p in Path(folder).iterdir() if p.is_dir())


def test_interrupted_anywhere_the_whole_script_goes_on(run: Run, here: Path) -> None:
    answer = run("--run-dir", "whole", "two_fits.py")
    assert answer.code == 0, answer
    whole, expected = open_ledger("whole"), _told()
    assert answer.out.split()[-1] == whole.fingerprint
    assert whole.fingerprint is not None
    assert whole.fingerprint.startswith("kr1-smro-")
    assert _folders("whole") == ["fit-1", "fit-2"]
    steps = Path("steps.txt").read_text().split()
    Path("steps.txt").unlink()
    for moment, how, code in (("0.1.2", "TERM", 143), ("1.0.2", "INT", 130), ("1.1.0", "KILL", 137)):
        shutil.rmtree("run", ignore_errors=True)
        answer = run("--run-dir", "run", "two_fits.py", moment, how)
        assert answer.code == code, answer
        hint = "run the same command again to continue in run"
        assert f"keras-repro: two_fits.py was interrupted by SIG{how}: {hint}" in answer.err
        before = list(open_ledger("run").records())
        assert open_ledger("run").status == "killed"
        answer = run("--run-dir", "run", "two_fits.py", moment, how)
        assert answer.code == 0, answer
        assert _told() == expected
        assert open_ledger("run").fingerprint == whole.fingerprint
        assert list(open_ledger("run").records())[: len(before)] == before
        made = Path("steps.txt").read_text().split()
        assert sorted(set(made)) == sorted(steps)
        # A signal costs no step; after a kill it is that of 1.0.1 that is gone on from.
        assert len(made) - len(steps) == (2 if how == "KILL" else 0)
        Path("steps.txt").unlink()
        Path("interrupted").unlink()
    ledgers = {p: p.read_bytes() for p in Path("run").rglob("ledger.jsonl")}
    assert run("--run-dir", "run", "two_fits.py").code == 0
    assert not Path("steps.txt").exists(), "a finished one trains nothing"
    assert _told() == expected
    assert {p: p.read_bytes() for p in ledgers} == ledgers


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("fit", "the script calls Model.fit by itself, which cannot be resumed: train through"),
        ("batches", "the script calls train_on_batch by itself, which cannot be resumed: train through"),
        ("nothing", "no fit of a kr.ReproducibleTrainer was seen in the script"),
    ],
)
def test_a_script_without_a_trainer_is_told_what_to_do(
    run: Run, how: str, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    answer = run("plain_fit.py", how)
    assert answer.code == 2
    assert not (Path(".keras_repro") / "plain_fit-resumable" / "ledger.jsonl").exists()


def test_what_cannot_be_together_or_at_once(run: Run, here: Path) -> None:
    answer = run("--force", "--run-dir", "a", "two_fits.py")
    assert answer.code == 2
    assert "--resume continues the run that --force would replace" in answer.err
    Path("a").mkdir()
    holder = "import sys; from pathlib import Path; from keras_repro.storage.run_lock import RunLock\n"
    holder += "lock = RunLock(Path('a')); print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "held\n"
        answer = run("--run-dir", "a", "two_fits.py")
        assert answer.code == 2
        assert f"run folder a is in use by process {process.pid}: wait for it to end" in answer.err
        process.kill()


def test_another_seed_is_refused(run: Run, here: Path) -> None:
    assert run("two_fits.py", "0.0.1", "TERM").code == 143
    before = Path(".keras_repro/two_fits-resumable/ledger.jsonl").read_bytes()
    answer = run("--pin-seed", "7", "two_fits.py", "0.0.1", "TERM")
    assert answer.code == 2, answer
    assert Path(".keras_repro/two_fits-resumable/ledger.jsonl").read_bytes() == before


def _reached(moment: str) -> None:
    """Waits until the script says that it is there."""
    while not (Path("steps.txt").exists() and moment in Path("steps.txt").read_text().split()):
        time.sleep(0.05)


def test_ctrl_c_at_a_terminal_is_one_signal(here: Path) -> None:
    shutil.copy(SCRIPTS / "two_fits.py", "two_fits.py")
    words = ["run", "--resume", "--run-dir", "run", "two_fits.py", "0.1.2", "WAIT"]
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "keras_repro.cli", *words])
    _reached("0.1.2")
    os.write(terminal, b"\x03")  # to the launcher and to its child, both
    said = b""
    with contextlib.suppress(OSError):  # how a terminal ends
        while block := os.read(terminal, 4096):
            said += block
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130, said.decode()
    assert b"was interrupted by SIGINT: run the same command again to continue in run" in said
    marks = [r for r in open_ledger("run/fit-1").records() if r["kind"] == "snapshot"]
    assert [(m["epoch"], m["step"]) for m in marks] == [(1, 0), (1, 3)]


def test_a_killed_launcher_leaves_a_training_that_goes_on(
    run: Run, here: Path, process: Callable[..., subprocess.Popen[str]]
) -> None:
    words = ["--run-dir", "run", "two_fits.py", "0.1.2", "WAIT"]
    with process("-m", "keras_repro.cli", "run", "--resume", *words) as launcher:
        _reached("0.1.2")
        launcher.kill()
    child = int(Path("run/lock").read_text())
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
