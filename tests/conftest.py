"""Fixtures of tests with child processes: the fork server, and functions that launch a script."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from keras_repro.determinism.tf_runtime import set_op_determinism
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.processes.child import Outcome
from keras_repro.processes.interruption import SIGNALS
from keras_repro.processes.task import Task
from keras_repro.storage.run_folder import OUTPUT_NAME
from keras_repro.workflows import verify as verification

TESTS = Path(__file__).resolve().parent
# `--import-mode=importlib` does not add it.
sys.path.insert(0, str(TESTS))

from forkserver import ForkServer  # noqa: E402

SCRIPTS = TESTS / "scripts"

# Two processes share the files of tests. The slowest start first, so that no process ends alone with them.
_SLOWEST_FILES = [
    "portable/test_emulated.py",
    "test_cli.py",
    "test_installations.py",
    "training/resume/test_resume.py",
    "training/resume/test_hiding_places.py",
    "training/resume/test_resume_data.py",
    "workflows/test_diagnose.py",
    "test_planted.py",
    "training/data/test_batch_observer.py",
    "workflows/vary/test_runner.py",
    "training/replay/test_replay.py",
    "workflows/test_verify.py",
    "training/resume/test_resume_callbacks.py",
    "crash/test_crash.py",
    "test_run_resume.py",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests of slow files to the front; the order within a file stays."""
    ranks = {TESTS / name: rank for rank, name in enumerate(_SLOWEST_FILES)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@dataclass(frozen=True)
class Child:
    """A launched script that has ended."""

    outcome: Outcome
    output: str
    folder: Path

    @property
    def ledger(self) -> LedgerReader:
        return open_ledger(self.folder)

    @property
    def records(self) -> list[dict[str, Any]]:
        return list(self.ledger.records())


@dataclass(frozen=True)
class Answer:
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def _collections_skip_what_stays() -> None:
    """Exclude objects of imports and of earlier tests from garbage collections, once there are many.

    `keras.utils.clear_session` runs a full collection, which takes a second with a million objects.
    """
    if len(gc.get_objects(generation=2)) > 30_000:
        gc.collect()
        gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def _op_determinism_ends_with_its_module() -> Iterator[None]:
    """Switch off op determinism, which a trainer switches on for the whole process."""
    yield
    if "tensorflow" in sys.modules:
        set_op_determinism(False)


@pytest.fixture(scope="session")
def forkserver() -> Iterator[ForkServer]:
    """The fork server of this test session."""
    with ForkServer() as server:
        yield server


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def written(here: Path) -> Callable[[str, str], str]:
    """Write a script and a copy of `small.py` to the working folder; return the script's name."""

    def write(text: str, name: str = "script.py") -> str:
        (here / "small.py").write_text((SCRIPTS / "small.py").read_text())
        (here / name).write_text(text)
        return name

    return write


@pytest.fixture
def verified(forkserver: ForkServer, here: Path) -> Callable[..., verification.Verification]:
    """Verify one of tests/scripts, or a script that was written, in forked children."""

    def verify(script: str, *arguments: str, runs: int = 2, **options: Any) -> verification.Verification:
        return verification.verify(
            Task(script=_path(script), arguments=arguments),
            folder=Path("runs"),
            runs=runs,
            launcher=forkserver.launcher,
            **options,
        )

    return verify


@pytest.fixture
def launched(forkserver: ForkServer, here: Path) -> Callable[..., Child]:
    """Run a script once, observed, in a forked child."""

    def launch(script: str | None, *arguments: str, **changed: Any) -> Child:
        folder = here / "run"
        folder.mkdir()
        path = None if script is None else _path(script)
        plan = Task(script=path, arguments=arguments).plan(folder, redirect=True)
        outcome = forkserver.launcher.start(replace(plan, **changed), environment=os.environ).wait()
        return Child(outcome, (folder / OUTPUT_NAME).read_text(), folder)

    return launch


@pytest.fixture
def command(
    forkserver: ForkServer, here: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Answer]]:
    """Run `keras-repro` in this process; its children are forked."""
    from keras_repro.cli import main as cli
    from keras_repro.cli.commands import reproduce, verify

    for module, name in ((verify, "verify"), (reproduce, "reproduce")):
        forked = partial(getattr(module, name), launcher=forkserver.launcher)
        monkeypatch.setattr(module, name, forked)
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def run(*arguments: object) -> Answer:
        code = cli.main([str(a) for a in arguments])
        captured = capfd.readouterr()
        return Answer(code, captured.out, captured.err)

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def process(here: Path) -> Callable[..., subprocess.Popen[str]]:
    """Start Python as a new process, as a user's shell would: `process("-m", "keras_repro.cli", ...)`."""

    def start(*arguments: object, **variables: str) -> subprocess.Popen[str]:
        path = os.pathsep.join(filter(None, [str(TESTS.parent), os.environ.get("PYTHONPATH")]))
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env=os.environ | {"PYTHONPATH": path} | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def _path(script: str) -> str:
    return script if Path(script).exists() else str(SCRIPTS / script)
