"""Run folders are made once, by default below one folder that git ignores."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from keras_repro.errors import RunFolderError
from keras_repro.storage.run_folder import LEDGER_NAME, make_run_folder, new_folder


def test_new_folder_is_made_with_its_parents(tmp_path):
    folder = make_run_folder(tmp_path / "a" / "b")
    assert folder == tmp_path / "a" / "b"
    assert folder.is_dir()
    # An existing folder without a run is used.
    (folder / "notes.txt").write_text("kept")
    assert make_run_folder(str(folder)) == folder
    assert (folder / "notes.txt").read_text() == "kept"


def test_folder_with_a_run_is_refused(tmp_path):
    (tmp_path / LEDGER_NAME).write_text("a run")
    with pytest.raises(RunFolderError, match=f"run folder {tmp_path} holds a run already"):
        make_run_folder(tmp_path)
    assert make_run_folder(tmp_path, overwrite=True) == tmp_path
    assert (tmp_path / LEDGER_NAME).read_text() == "a run"


def test_dangling_link_counts_as_a_run(tmp_path):
    os.symlink("nowhere", tmp_path / LEDGER_NAME)
    with pytest.raises(RunFolderError, match="holds a run already"):
        make_run_folder(tmp_path)


def test_impossible_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="file is a file: choose another name"):
        make_run_folder(tmp_path / "file")
    with pytest.raises(RunFolderError, match=r"cannot make run folder .*file/below: Not a directory"):
        make_run_folder(tmp_path / "file" / "below")
    with pytest.raises(RunFolderError, match=r"cannot make run folder .*: File name too long"):
        make_run_folder(tmp_path / ("n" * 300))
    with pytest.raises(RunFolderError, match=r"cannot make a run folder in .*file: "):
        new_folder("run", base=tmp_path / "file")


def test_numbered_folders_are_ignored_by_git(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "init", "-q", "."], check=True)
    assert [new_folder("train"), new_folder("train"), new_folder("verify")] == [
        Path(".keras_repro/train-1"),
        Path(".keras_repro/train-2"),
        Path(".keras_repro/verify-1"),
    ]
    (tmp_path / ".keras_repro" / "train-1" / LEDGER_NAME).write_text("a run")
    listed = subprocess.run(["git", "status", "--porcelain", "-uall"], capture_output=True, check=True)
    assert listed.stdout == b""


def test_two_processes_get_different_folders(tmp_path):
    code = "import sys; from keras_repro.storage.run_folder import *; from pathlib import Path\n"
    code += "for _ in range(50): print(new_folder('run', base=Path(sys.argv[1])))\n"
    code += "for _ in range(9): print(folder_of_copy(Path(sys.argv[1]) / 'a'))"
    command = [sys.executable, "-c", code, str(tmp_path / "base")]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    names = [line for child in children for line in child.communicate()[0].split()]
    expected = [f"run-{n}" for n in range(1, 151)] + [f"a-{n}" for n in range(2, 29)]
    assert sorted(names) == sorted(str(tmp_path / "base" / name) for name in expected)


REDIRECTED = """
import os, sys
from pathlib import Path
from keras_repro.storage.run_folder import new_folder, redirect_runs, redirected
below, start = sys.argv[1:]
os.chdir(start)
redirect_runs(Path(below))
print(redirected("runs/a"))
print(redirected(os.path.join(start, "runs", "a")))
print(redirected("/elsewhere/a"))
print(redirected(os.path.join(below, "b")))
print(redirected("../a"))
os.chdir("/")
print(redirected(os.path.join(start, "runs", "a")))
print(new_folder("trainer"))
"""


def test_run_folders_of_a_child_are_redirected(tmp_path):
    """Run folders of a launched script are made below its run: two children do not find each other's."""
    below, start = tmp_path / "below", tmp_path / "start"
    start.mkdir()
    command = [sys.executable, "-c", REDIRECTED, str(below), str(start)]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert lines[0] == lines[1] == lines[5] == str(below / "runs" / "a")
    assert lines[2] == str(below / "elsewhere" / "a")
    assert lines[3] == str(below / "b")
    assert lines[4] == str(below / (tmp_path / "a").relative_to("/"))
    assert lines[6] == str(below / ".keras_repro" / "trainer-1")
