"""Copies for the processes of a diagnosis: the first without the files of a run, the others with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from keras_repro.processes.leftover_workspace import LeftoverWorkspace
from keras_repro.utils.source_line import SourceLine


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work" / "kept" / "deep").mkdir(parents=True)
    for name in ("train.py", "data.csv", "kept/deep/last.npy", "history.json"):
        (tmp_path / "work" / name).write_text(name)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def _files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_first_process_finds_no_created_files(project: Path) -> None:
    created = [str(project / "kept/deep/last.npy"), "/elsewhere/of/no/concern"]
    runs = project / "runs"
    with LeftoverWorkspace("train.py", created, runs / "diagnosis/copies", exclude=runs) as left:
        first = left.for_process(1)
        assert _files(first.cwd) == {"train.py", "data.csv", "history.json"}
        assert not (first.cwd / "kept").exists()  # made by the run
        (first.cwd / "data.csv").write_text("spoiled")
        second = left.for_process(2)
        assert (second.cwd, second.script) == (first.cwd, "train.py")
        assert _files(second.cwd) == {"train.py", "data.csv", "history.json", "kept/deep/last.npy"}
        assert (second.cwd / "data.csv").read_text() == "data.csv"
        assert left.files == {str((second.cwd / "kept/deep/last.npy").resolve())}
        line = left.original_line(SourceLine(file=str(second.cwd / "train.py"), line=3, code="x"))
        assert line is not None
        assert line.to_dict() == {"file": str(project / "train.py"), "line": 3, "code": "x"}
        of_library = SourceLine(file="/usr/lib/x.py", line=1)
        assert left.original_line(of_library) == of_library
        assert left.original_line(None) is None
    assert not (runs / "diagnosis/copies").exists()
    assert _files(project) == {"train.py", "data.csv", "history.json", "kept/deep/last.npy"}
