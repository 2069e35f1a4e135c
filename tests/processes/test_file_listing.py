"""Files that a run leaves where the next run could read them are listed."""

import os

import pytest

from keras_repro.processes.file_listing import FileListing


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name in ("work/data", "scripts", "work/runs"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "work" / "data" / "train.csv").write_text("1,2")
    (tmp_path / "scripts" / "train.py").write_text("")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def listed(here):
    return FileListing.of("../scripts/train.py", exclude=here / "work" / "runs")


def test_unchanged_folder_has_no_changes(here):
    before = listed(here)
    assert sorted(map(os.path.basename, before.files)) == ["train.csv", "train.py"]
    assert listed(here).changed_since(before) == []


def test_new_and_changed_files_are_listed(here):
    before = listed(here)
    (here / "work" / "model.keras").write_text("weights")
    (here / "work" / "data" / "cache").mkdir()
    (here / "work" / "data" / "cache" / "0.npy").write_text("")
    (here / "scripts" / "history.json").write_text("{}")
    (here / "work" / "data" / "train.csv").write_text("1,2,3")
    os.symlink("nowhere", here / "work" / "link")
    assert sorted(listed(here).changed_since(before)) == sorted(
        [str(here / "scripts" / "history.json"), "data/cache/0.npy", "data/train.csv", "link", "model.keras"]
    )


def test_rewritten_file_counts_as_changed(here):
    """The same size and content, written again: the next run reads a file of this run."""
    before = listed(here)
    path = here / "work" / "data" / "train.csv"
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert listed(here).changed_since(before) == ["data/train.csv"]


def test_skipped_folders_are_not_listed(here):
    before = listed(here)
    for name in ("runs", ".git", "__pycache__", ".venv", ".keras_repro", "data/__pycache__"):
        (here / "work" / name).mkdir(exist_ok=True)
        (here / "work" / name / "new").write_text("")
    assert listed(here).changed_since(before) == []


def test_linked_run_folder_is_excluded(here):
    os.symlink(here / "work" / "runs", here / "work" / "same")
    before = FileListing.of(None, exclude=here / "work" / "same")
    (here / "work" / "runs" / "ledger.jsonl").write_text("")
    assert FileListing.of(None, exclude=here / "work" / "same").changed_since(before) == []


def test_circular_links_are_not_followed(here):
    os.symlink(here / "work", here / "work" / "data" / "up")
    before = listed(here)
    (here / "work" / "new").write_text("")
    assert listed(here).changed_since(before) == ["new"]


def test_module_has_no_script_folder(here):
    before = FileListing.of(None, exclude=here / "work" / "runs")
    (here / "scripts" / "new").write_text("")
    assert FileListing.of(None, exclude=here / "work" / "runs").changed_since(before) == []


def test_environments_of_python_are_not_listed(here):
    before = listed(here)
    for folder, mark in (("env", "pyvenv.cfg"), ("tools/conda", "conda-meta/history")):
        file = here / "work" / folder / mark
        file.parent.mkdir(parents=True)
        file.write_text("")
        (here / "work" / folder / "lib").mkdir()
        (here / "work" / folder / "lib" / "a.py").write_text("")
    assert listed(here).changed_since(before) == []
