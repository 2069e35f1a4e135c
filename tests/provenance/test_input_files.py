"""The files that a script read: named without private paths, and compared later."""

from pathlib import Path
from typing import Any

import pytest

from keras_repro.provenance import input_files
from keras_repro.provenance.input_files import ChangedFile


def test_files_are_named_from_the_first_root_that_contains_them(here: Path, tmp_path_factory: Any) -> None:
    (here / "data").mkdir()
    (here / "data" / "x.npy").write_bytes(b"\x01\x02\x03")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "train.py").write_text("")
    (elsewhere / "labels.csv").write_text("a,b\n")
    (elsewhere.parent / "outside.npy").write_text("x")
    paths = ["data/x.npy", elsewhere / "labels.csv", elsewhere.parent / "outside.npy", "data", "no_such_file"]
    description = input_files.describe(paths, input_files.roots(elsewhere / "train.py"))
    x = {
        "root": "working folder",
        "path": "data/x.npy",
        "bytes": 3,
        "digest": "b177ec1bf26dfb3b7010d473e6d44713",
    }
    labels = {
        "root": "script's folder",
        "path": "labels.csv",
        "bytes": 4,
        "digest": "bb8c3eaa219465f5d51a3073a55c3382",
    }
    files = sorted(description["files"], key=lambda f: f["path"])
    assert (files, description["unnamed"]) == ([x, labels], 1)


def test_linked_data_is_named_by_the_link(here: Path, tmp_path_factory: Any) -> None:
    elsewhere = tmp_path_factory.mktemp("large_disk")
    (elsewhere / "x.npy").write_bytes(b"\x01\x02\x03")
    (here / "data").symlink_to(elsewhere)
    description = input_files.describe(["data/x.npy"], input_files.roots(None))
    assert [(f["path"], f["bytes"]) for f in description["files"]] == [("data/x.npy", 3)]
    (elsewhere / "x.npy").write_bytes(b"\x01\x02\x04")
    assert input_files.changed_files(description, input_files.roots(None)) == [
        ChangedFile("data/x.npy", False, (3, 3))
    ]


def test_no_file_names_a_person(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    (here / "ada").mkdir()
    (here / "ada" / "x.npy").write_bytes(b"\x01")
    (here / "x\x1b[31m.npy").write_bytes(b"\x01")
    description = input_files.describe(["ada/x.npy", "x\x1b[31m.npy"], input_files.roots(None))
    assert description == {"files": [], "unnamed": 2}


def test_changed_and_missing_files_are_distinguished(here: Path) -> None:
    for name in ("same.npy", "bit.npy", "longer.npy", "gone.npy"):
        (here / name).write_bytes(b"\x00" * 8)
    description = input_files.describe(
        ["same.npy", "bit.npy", "longer.npy", "gone.npy"], input_files.roots(None)
    )
    (here / "bit.npy").write_bytes(b"\x00" * 7 + b"\x01")
    (here / "longer.npy").write_bytes(b"\x00" * 9)
    (here / "gone.npy").unlink()
    assert input_files.changed_files(description, input_files.roots(None)) == [
        ChangedFile("bit.npy", False, (8, 8)),
        ChangedFile("gone.npy", True, (8, None)),
        ChangedFile("longer.npy", False, (8, 9)),
    ]


def test_files_beyond_the_limit_are_compared_by_size(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "_MOST_BYTES", 4)
    (here / "large.npy").write_bytes(b"\x00" * 5)
    description = input_files.describe(["large.npy"], input_files.roots(None))
    assert description["files"][0]["digest"] is None
    (here / "large.npy").write_bytes(b"\x01" * 5)
    assert input_files.changed_files(description, input_files.roots(None)) == []
    (here / "large.npy").write_bytes(b"\x01" * 6)
    assert [c.bytes for c in input_files.changed_files(description, input_files.roots(None))] == [(5, 6)]


@pytest.mark.parametrize(
    "listed",
    [
        None,
        7,
        {"files": 3},
        {"files": [4, {"root": ["working folder"], "path": "x", "bytes": 1}]},
        {"files": [{"root": "working folder", "path": "../../etc/passwd", "bytes": 1, "digest": "00"}]},
        {"files": [{"root": "working folder", "path": "/etc/passwd", "bytes": 1, "digest": "00"}]},
        {"files": [{"root": "nowhere", "path": "x", "bytes": 1, "digest": "00"}]},
        {"files": [{"root": "working folder", "path": "x", "bytes": "1", "digest": "00"}]},
    ],
)
def test_untrusted_entries_are_never_looked_up_outside(here: Path, listed: Any) -> None:
    assert input_files.changed_files(listed, input_files.roots(None)) == []
