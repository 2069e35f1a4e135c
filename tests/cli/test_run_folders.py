"""A table: each command, and what already has the name of the run folder. Nothing foreign is changed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_table import COMMANDS, OWN, RUN_COMMANDS, in_use, put, tree, write_run

from keras_repro.cli.main import main
from keras_repro.ledger.reader import open_ledger

# The run folders that a command makes in its folder; the first is the first in which a script is run.
RUNS = {
    "run": ["."],
    "verify": ["run-1", "run-2", "run-3", "run-12"],
    "vary": ["baseline", "repeat", "locale", "xla"],
    "diagnose": ["1", "2", "3", "4"],
    "reproduce": ["."],
}
FOREIGN = [
    "notes.txt",
    "output.txt.old",
    "snapshots/fit-best.h5",
    "snapshots/model.keras",
    "run-mydata/ledger.jsonl",
    "run-mydata/f",
    "run-notes.txt",
    "run-01/f",
    "baseline.csv",
    "10/f",
    "diagnosis/notes.txt",
    "copies/f",
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with two runs that diverge, and a script that trains nothing."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.py").write_text("print('ran')\n")
    for name in ("a", "b"):
        write_run(tmp_path / name, changed=name)
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("command", RUN_COMMANDS)
def test_only_files_of_the_earlier_run_are_replaced(project: Path, command: str) -> None:
    """With --force, next to files and folders of the user's, also with names like ours."""
    for run in RUNS[command]:
        write_run(Path("D", run))
        put(Path("D", run), ["kept.keras"])
    put(Path("D"), FOREIGN)
    Path("D/run-9").symlink_to("../a")
    before, words = tree(project), [*COMMANDS[command], "--run-dir", "D"]
    assert main(words) == 2
    assert tree(project) == before
    assert main([*words, "--force"]) == 2  # the script trains nothing
    own = {os.path.normpath(f"D/{run}/{name}") for run in RUNS[command] for name in OWN}
    after = tree(project)
    assert {n: v for n, v in before.items() if n not in own and after.get(n) != v and v[0] != "folder"} == {}
    first = Path("D", RUNS[command][0])
    assert open_ledger(first).status == "finished"
    assert open_ledger(first).digest != open_ledger("a").digest
    assert [name for name in own if after.get(name) == before[name]] == []


REFUSED = re.compile(
    "which keras_repro did not write|is a link, which|holds files that are not of a run|is a file|"
    "holds a run already|holds runs already"
)


def _foreign_ledger(folder: Path, first: str) -> None:
    put(folder / first, ["ledger.jsonl"])


def _link_to_ledger(folder: Path, first: str) -> None:
    put(folder / first, [])
    (folder / first).mkdir(parents=True, exist_ok=True)
    (folder / first / "ledger.jsonl").symlink_to(Path("a/ledger.jsonl").resolve())


def _foreign_sketches(folder: Path, first: str) -> None:
    put(folder / first, ["sketches.bin"])


def _foreign_snapshot(folder: Path, first: str) -> None:
    put(folder / first, ["snapshots/fit-1-end.h5"])


def _link_to_snapshots(folder: Path, first: str) -> None:
    write_run(folder / first)
    (folder / first / "snapshots/fit-1-end.h5").unlink()
    (folder / first / "snapshots").rmdir()
    (folder / first / "snapshots").symlink_to(Path("b/snapshots").resolve())


def _other_lock(folder: Path, first: str) -> None:
    """A folder that looks as if our process had been killed there, with a lock file of another program."""
    put(folder / first, ["ledger.jsonl", "lock"])


IN_THE_WAY: list[Callable[[Path, str], None]] = [
    _foreign_ledger,
    _link_to_ledger,
    _foreign_sketches,
    _foreign_snapshot,
    _link_to_snapshots,
    _other_lock,
]


@pytest.mark.parametrize("command", RUN_COMMANDS)
def test_foreign_files_and_links_in_the_way_are_refused(
    project: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for make in IN_THE_WAY:
        folder = Path(f"D{make.__name__}")
        make(folder, RUNS[command][0])
        before = tree(project)
        for force in ([], ["--force"]):
            assert main([*COMMANDS[command], "--run-dir", str(folder), *force]) == 2, make.__name__
            message = capsys.readouterr().err
            assert REFUSED.search(message), message
            assert tree(project) == before, make.__name__


def _link_to_folder(folder: Path, first: str) -> None:
    """Only the folder that the user names may be a link."""
    folder.mkdir()
    if first == ".":
        (folder / "ledger.jsonl").symlink_to("nowhere")
    else:
        (folder / first).symlink_to(Path("a").resolve())


def _file(folder: Path, first: str) -> None:
    folder.mkdir()
    if first == ".":
        (folder / "ledger.jsonl").mkdir()
    else:
        (folder / first).write_text("notes")


IN_THE_WAY += [_link_to_folder, _file]


@pytest.mark.parametrize("command", RUN_COMMANDS)
def test_file_in_place_of_the_folder_is_refused(
    project: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(project)
    for place in ("s.py", "a/ledger.jsonl", "a/ledger.jsonl/below"):
        for force in ([], ["--force"]):
            assert main([*COMMANDS[command], "--run-dir", place, *force]) == 2
            assert re.search(f"run folder {place}( is a file|: Not a directory)", capsys.readouterr().err)
            assert tree(project) == before


@pytest.mark.parametrize("command", RUN_COMMANDS)
def test_folder_in_use_is_refused_also_with_force(
    project: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, place in enumerate([".", RUNS[command][0], RUNS[command][-1]]):
        folder = Path(f"D{number}", place)
        write_run(folder)
        with in_use(folder) as holder:
            before = tree(project)
            assert main([*COMMANDS[command], "--run-dir", f"D{number}", "--force"]) == 2
            assert f"run folder {folder} is in use by process {holder}: wait" in capsys.readouterr().err
            assert tree(project) == before


def test_runs_are_in_use_as_long_as_their_script(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Also if the command that has started it was killed."""
    (project / "s.py").write_text("from pathlib import Path\nwhile not Path('end').exists(): pass\n")
    words = ["verify", "s.py", "--run-dir", "D"]
    with subprocess.Popen([sys.executable, "-m", "keras_repro", *words], stdout=subprocess.DEVNULL) as verify:
        while not Path("D/run-1/lock").exists() or not Path("D/run-1/lock").read_text():
            time.sleep(0.01)
        before = tree(project)
        assert main([*words, "--force"]) == 2
        assert f"run folder D is in use by process {verify.pid}: wait" in capsys.readouterr().err
        assert tree(project) == before
        verify.kill()
    child = Path("D/run-1/lock").read_text().split()[0]
    assert main([*words, "--force"]) == 2
    assert f"run folder D/run-1 is in use by process {child}: wait" in capsys.readouterr().err
    del before["D/lock"]  # of the killed process
    assert tree(project) == before
    (project / "end").touch()
    while Path("D/run-1/lock").exists():
        time.sleep(0.01)
    assert main([*words, "--force"]) == 2  # it trains nothing
    assert "run 1: no Keras training was observed" in capsys.readouterr().err
