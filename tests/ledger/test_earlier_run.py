"""The files of an earlier run are removed by name, if they are provably ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_table import OWN, in_use, put, tree, write_run
from ledger_builders import training, write

from keras_repro.errors import RunFolderError
from keras_repro.ledger.earlier_run import EarlierRun, lock_runs
from keras_repro.storage.run_folder import new_folder
from keras_repro.storage.run_lock import RunLock


def test_files_of_a_launched_run_and_of_its_inner_runs_are_removed(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    write_run(tmp_path / "run/fit-1")
    write_run(tmp_path / "run/diagnosis/2")
    write(tmp_path / "run/runs/home/me/a", training())
    write(new_folder("trainer", base=tmp_path / "run/runs/.keras_repro"), training())
    kept = [
        "fit-best/ledger.jsonl",
        "fit-1/kept",
        "runs/home/me/a/kept",
        "diagnosis/copies/kept",
        "fit-2.txt",
    ]
    put(tmp_path / "run", kept)
    # A run that a script has not made there.
    write_run(tmp_path / "run/mine")
    EarlierRun(tmp_path / "run").remove()
    left = {str(p.relative_to(tmp_path / "run")) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {*kept, *(f"mine/{name}" for name in OWN)}


def test_files_of_a_script_are_kept_in_the_folder_of_a_callback(tmp_path: Path) -> None:
    """A callback does not write `output.txt`: it is the user's."""
    write(tmp_path, training(), coverage="sm")
    put(tmp_path, ["output.txt", "sketches.bin"])
    with pytest.raises(RunFolderError, match=r"holds output\.txt, which keras_repro did not write: choose"):
        EarlierRun(tmp_path).check(overwrite=True, writes=["output.txt"])
    EarlierRun(tmp_path).check(overwrite=True)
    EarlierRun(tmp_path).remove()
    assert [p.name for p in tmp_path.iterdir()] == ["output.txt"]


def test_lock_of_killed_process_proves_the_run(tmp_path: Path) -> None:
    with in_use(tmp_path):
        assert EarlierRun(tmp_path).use == "launched"
    put(tmp_path, ["output.txt"])
    (tmp_path / "ledger.jsonl").write_text('{"kind":"hea')  # an incomplete header
    with pytest.raises(RunFolderError, match="holds a run already"):
        EarlierRun(tmp_path).check(overwrite=False)
    EarlierRun(tmp_path).check(overwrite=True, writes=["output.txt"])
    with RunLock(tmp_path):
        # The proof is the lock from before.
        EarlierRun(tmp_path).remove()
        assert [p.name for p in tmp_path.iterdir()] == ["lock"]
    assert EarlierRun(tmp_path).use is None


def test_own_lock_is_no_proof(tmp_path: Path) -> None:
    put(tmp_path, ["output.txt", "ledger.jsonl"])
    before = tree(tmp_path)
    with RunLock(tmp_path):
        assert EarlierRun(tmp_path).use is None
        EarlierRun(tmp_path).remove()
    assert tree(tmp_path) == before


def test_links_are_neither_followed_nor_removed(tmp_path: Path) -> None:
    put(tmp_path / "outside", ["snapshots/fit-1-end.h5", "output.txt", "f"])
    write_run(tmp_path / "outside/fit-1")
    write_run(tmp_path / "run")
    for name in ("output.txt", "snapshots/fit-1-end.h5"):
        (tmp_path / "run" / name).unlink()
    (tmp_path / "run/snapshots").rmdir()
    for name in ("snapshots", "output.txt", "fit-1"):
        (tmp_path / "run" / name).symlink_to(tmp_path / "outside" / name)
    (tmp_path / "run/runs").symlink_to(tmp_path / "outside")
    outside, links = tree(tmp_path / "outside"), {"snapshots", "output.txt", "fit-1", "runs"}
    with pytest.raises(RunFolderError, match=r"holds output\.txt, snapshots, which keras_repro did not"):
        EarlierRun(tmp_path / "run").check(overwrite=True, writes=["output.txt"])
    EarlierRun(tmp_path / "run").remove()
    EarlierRun(tmp_path / "run").remove_folder()
    assert tree(tmp_path / "outside") == outside
    assert {p.name for p in (tmp_path / "run").iterdir()} == links


def test_no_run_is_removed_if_one_is_in_use(tmp_path: Path) -> None:
    for name in ("run-1", "run-2", "run-3"):
        write_run(tmp_path / name)
    with in_use(tmp_path / "run-2"):
        before = tree(tmp_path)
        with pytest.raises(RunFolderError, match="run-2 is in use by process"):
            lock_runs(tmp_path, ["run-1"], others=["run-2", "run-3"], overwrite=True)
        assert tree(tmp_path) == before
    with lock_runs(tmp_path, ["run-1"], others=["run-2", "run-3"], overwrite=True):
        assert os.listdir(tmp_path) == ["lock"]
    assert os.listdir(tmp_path) == []
