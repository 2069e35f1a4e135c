"""Copies of the folders in which a script works."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from command_table import put, tree

from keras_repro.errors import LaunchError
from keras_repro.processes import copy_survey, folder_copy, workspace
from keras_repro.processes.workspace import WorkspaceCopies


@pytest.fixture
def project(here: Path) -> Path:
    """A folder with files that are copied, and files that are not."""
    root = here / "project"
    for name in ("data", ".git", "env", "__pycache__", ".keras_repro/train-1"):
        (root / name).mkdir(parents=True)
    (root / "train.py").write_text("print()")
    (root / "data" / "x.txt").write_text("data")
    (root / "env" / "pyvenv.cfg").touch()
    (root / "__pycache__" / "x.pyc").touch()
    (here / "outside.txt").write_text("outside")
    (root / "out").symlink_to("../outside.txt")
    (root / "data" / "back").symlink_to(root / "train.py")
    (root / "near").symlink_to("data/x.txt")
    os.utime(root / "data" / "x.txt", (1, 1))
    return root


def workspace_copies(
    script: str | None = "train.py", folder: str = ".keras_repro/train-1"
) -> WorkspaceCopies:
    return WorkspaceCopies(script, Path(folder) / "copies", exclude=Path(folder))


def below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_copy_holds_the_project_without_files_of_tools(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    with workspace_copies() as copies:
        place = copies.fresh()
        assert place.script == "train.py"
        assert below(place.cwd) == ["data", "data/back", "data/x.txt", "near", "out", "train.py"]
        assert (place.cwd / "data" / "x.txt").stat().st_mtime == 1
        assert os.readlink(place.cwd / "near") == "data/x.txt"
    assert not (project / ".keras_repro" / "train-1" / "copies").exists()


def test_links_lead_into_the_copy_or_outside_as_before(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    with workspace_copies() as copies:
        place = copies.fresh()
        (place.cwd / "data" / "back").write_text("written")
        assert (place.cwd / "train.py").read_text() == "written"
        assert (place.cwd / "out").read_text() == "outside"
    assert (project / "train.py").read_text() == "print()"


def test_each_run_finds_the_original_folder_at_the_same_path(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    with workspace_copies() as copies:
        first = copies.fresh()
        (first.cwd / "left").mkdir(mode=0o500)
        (first.cwd / "train.py").write_text("changed")
        # Changes that the user makes meanwhile reach no run.
        (project / "new").touch()
        copies.keep_used()
        second = copies.fresh()
        assert second == first
        assert not {"left", "new"} & set(below(second.cwd))
        assert (second.cwd / "train.py").read_text() == "print()"
        copies.restore_used()
        assert copies.latest() == first
        assert (first.cwd / "train.py").read_text() == "changed"
        moved = copies.fresh(elsewhere=True)
        assert moved.cwd != first.cwd
        assert below(moved.cwd) == below(copies.fresh().cwd)
        assert copies.fresh(slot=1).cwd != copies.fresh(slot=2).cwd
        assert copies.original(str(first.cwd / "train.py")) == str(project / "train.py")
        assert copies.original(str(moved.cwd / "train.py")) == str(project / "train.py")
        assert copies.original("/elsewhere") == "/elsewhere"


def test_whole_repository_is_copied(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "src").mkdir()
    monkeypatch.chdir(project / "src")
    with workspace_copies("../train.py") as copies:
        place = copies.fresh()
        assert copies.roots == (project,)
        assert (place.cwd.name, place.script) == ("src", "../train.py")
        assert (place.cwd / "../data/x.txt").read_text() == "data"


def test_script_in_another_folder_is_copied_too(
    project: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "work").mkdir()
    monkeypatch.chdir(here / "work")
    shutil.rmtree(project / ".git")
    with workspace_copies(str(project / "train.py")) as copies:
        place = copies.fresh()
        assert copies.roots == (here / "work", project)
        assert str(place.script).endswith("copies/here/project/train.py")
        assert place.cwd.name == "work"


def test_too_large_folder_is_refused_with_its_largest_part(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(copy_survey, "MOST_BYTES", 10_000)
    (project / "data" / "large").write_bytes(bytes(20_000))
    with pytest.raises(LaunchError, match=r"too large to be copied .* data holds 20 KB .* --no-copy"):
        workspace_copies()
    monkeypatch.setattr(copy_survey, "MOST_BYTES", 1 << 30)
    monkeypatch.setattr(copy_survey, "MOST_FILES", 2)
    with pytest.raises(LaunchError, match="or 2 files"):
        workspace_copies()


def test_missing_disk_space_is_reported_before_copying(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    monkeypatch.setattr(
        workspace.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 30, 1 << 30, 5)
    )
    with (
        pytest.raises(LaunchError, match=r"no room for three copies .* 5 B are free; .* --run-dir"),
        workspace_copies(),
    ):
        pass
    assert not (project / ".keras_repro" / "train-1" / "copies").exists()


def test_full_disk_leaves_no_copies(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(folder_copy.shutil, "copy2", full)
    with pytest.raises(LaunchError, match=r"cannot copy .*No space left on device"), workspace_copies():
        pass
    assert not (project / ".keras_repro" / "train-1" / "copies").exists()


def test_links_in_place_of_copies_are_not_followed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script may put them there."""
    monkeypatch.chdir(project)
    outside = project.parent / "outside"
    put(outside, ["f", "deep/f"])
    (outside / "deep").chmod(0o500)
    Path("runs").mkdir()
    Path("runs/copies").symlink_to("../../outside/new")
    before = tree(outside)
    with workspace_copies(folder="runs") as copies:
        assert copies.fresh().cwd == project / "runs/copies-2/here/project"
        for name in ("here", "used"):
            shutil.rmtree(f"runs/copies-2/{name}", ignore_errors=True)
            Path(f"runs/copies-2/{name}").symlink_to(outside)
        copies.keep_used()
        assert copies.fresh().cwd.is_dir()
    assert tree(outside) == before
    assert os.listdir("runs") == ["copies"]
