"""Files that the user's lines open to read: by which line, with what in them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from keras_repro.storage.trace_file import Event
from keras_repro.training.probes.file_access import OpenedFiles

SCRIPT = """
import os
def reads(path, **how):
    with open(path, **how) as file:  # here
        return file.read()
def reads_by_number(path):
    os.close(os.open(path, os.O_RDONLY))
def frame():
    import sys
    return sys._getframe()
"""


@pytest.fixture
def script(tmp_path: Path) -> dict[str, Any]:
    file = tmp_path / "script.py"
    file.write_text(SCRIPT)
    namespace: dict[str, Any] = {}
    exec(compile(SCRIPT, str(file), "exec"), namespace)
    return namespace


@pytest.fixture
def heard(tmp_path: Path) -> Any:
    """The events of what is opened from here on; an audit hook stays, so it is told to be silent."""
    for name in ("data.txt", "other.txt"):
        (tmp_path / name).write_text("a")
    events: list[Event] = []
    files, on = OpenedFiles(events.append), [True]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and on[0]:
            files.hear(args, sys._getframe(1))

    sys.addaudithook(hook)
    yield events
    on[0] = False


def test_a_file_is_told_once_for_each_line_with_what_is_in_it(
    script: dict[str, Any], heard: list[Event], tmp_path: Path
) -> None:
    data, other = tmp_path / "data.txt", tmp_path / "other.txt"
    for _ in range(3):
        script["reads"](data)
    script["reads_by_number"](str(other))
    assert [e.info["file"] for e in heard] == [str(data.resolve()), str(other.resolve())]
    assert [e.info["source"]["line"] for e in heard] == [4, 7]
    assert heard[0].info["source"]["code"].endswith("# here")
    assert heard[0].value == heard[1].value != ""


def test_what_this_process_wrote_itself_is_left_out(
    script: dict[str, Any], heard: list[Event], tmp_path: Path
) -> None:
    data = tmp_path / "data.txt"
    data.write_text("written here")
    script["reads"](data)
    (tmp_path / "gone.txt").touch()
    os.remove(tmp_path / "gone.txt")
    with pytest.raises(FileNotFoundError):
        script["reads"](tmp_path / "never.txt")
    script["reads"]("/proc/self/status")
    assert heard == []


def test_a_large_file_is_looked_at_all_over(tmp_path: Path, script: dict[str, Any]) -> None:
    """Parts of 1 MB, 64 of them: of 100 MB each part may be one that is looked at, and the size counts."""
    data, found = tmp_path / "data.bin", []
    frame = script["frame"]()
    for size, at in ((100 << 20, None), (100 << 20, 0), (100 << 20, (98 << 20) + 500), (101 << 20, None)):
        with open(data, "wb") as file:
            file.truncate(size)
            if at is not None:
                file.seek(at)
                file.write(b"x")
        events: list[Event] = []
        OpenedFiles(events.append).hear((str(data), "r", 0), frame)
        found += [e.value for e in events]
    assert len(set(found)) == 4


def test_nothing_is_heard_after_the_end(tmp_path: Path, script: dict[str, Any]) -> None:
    data = tmp_path / "data.txt"
    data.write_text("a")
    events: list[Event] = []
    files = OpenedFiles(events.append)
    frame = script["frame"]()
    files.hear((str(data), "r", 0), frame)
    files.stop()
    (tmp_path / "other.txt").write_text("a")
    files.hear((str(tmp_path / "other.txt"), "r", 0), frame)
    assert [e.info["file"] for e in events] == [str(data.resolve())]


def test_what_h5py_opens(tmp_path: Path, written_by: Callable[[Path], None]) -> None:
    written_by(tmp_path / "w.h5")
    events: list[Event] = []
    files = OpenedFiles(events.append)
    opener = h5py.File.__init__
    try:
        files.watch_h5py(sys.modules["h5py._hl.files"])
        for mode in ("r", "a", "r"):
            with h5py.File(tmp_path / "w.h5", mode):
                pass
    finally:
        h5py.File.__init__ = opener
    assert [e.info["file"] for e in events] == [str((tmp_path / "w.h5").resolve())]


@pytest.fixture
def written_by() -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["x"] = [1, 2]

    return write
