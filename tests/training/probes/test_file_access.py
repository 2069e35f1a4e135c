"""Files that the user's code reads: their lines and the digests of their content."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from keras_repro.storage.trace_file import FileReadEvent
from keras_repro.training.probes.file_access import FileReads

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
def events(tmp_path: Path) -> Any:
    """Return the events of files opened from now on; the hook cannot be removed, only disabled."""
    for name in ("data.txt", "other.txt"):
        (tmp_path / name).write_text("a")
    events: list[FileReadEvent] = []
    files, on = FileReads(events.append), [True]

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and on[0]:
            files.on_audit_event(event, args, sys._getframe(1))

    sys.addaudithook(hook)
    yield events
    on[0] = False


def test_each_pair_of_file_and_line_is_reported_once_with_a_digest(
    script: dict[str, Any], events: list[FileReadEvent], tmp_path: Path
) -> None:
    data, other = tmp_path / "data.txt", tmp_path / "other.txt"
    for _ in range(3):
        script["reads"](data)
    script["reads_by_number"](str(other))
    assert [e.path for e in events] == [str(data.resolve()), str(other.resolve())]
    assert [e.source.line for e in events] == [4, 7]
    assert events[0].source.code.endswith("# here")
    assert events[0].digest == events[1].digest != ""


def test_files_written_by_this_process_are_not_reported(
    script: dict[str, Any], events: list[FileReadEvent], tmp_path: Path
) -> None:
    data = tmp_path / "data.txt"
    data.write_text("written here")
    script["reads"](data)
    (tmp_path / "gone.txt").touch()
    os.remove(tmp_path / "gone.txt")
    with pytest.raises(FileNotFoundError):
        script["reads"](tmp_path / "never.txt")
    script["reads"]("/proc/self/status")
    assert events == []


def test_digest_of_a_large_file_covers_blocks_throughout_the_file(
    tmp_path: Path, script: dict[str, Any]
) -> None:
    """The digest covers 64 blocks of 1 MB, from the first to the last, and the size."""
    data, digests = tmp_path / "data.bin", []
    frame = script["frame"]()
    for size, at in ((100 << 20, None), (100 << 20, 0), (100 << 20, (98 << 20) + 500), (101 << 20, None)):
        with open(data, "wb") as file:
            file.truncate(size)
            if at is not None:
                file.seek(at)
                file.write(b"x")
        events: list[FileReadEvent] = []
        FileReads(events.append).on_audit_event("open", (str(data), "r", 0), frame)
        digests += [e.digest for e in events]
    assert len(set(digests)) == 4


def test_nothing_is_reported_after_stop(tmp_path: Path, script: dict[str, Any]) -> None:
    data = tmp_path / "data.txt"
    data.write_text("a")
    events: list[FileReadEvent] = []
    files = FileReads(events.append)
    frame = script["frame"]()
    files.on_audit_event("open", (str(data), "r", 0), frame)
    files.stop()
    (tmp_path / "other.txt").write_text("a")
    files.on_audit_event("open", (str(tmp_path / "other.txt"), "r", 0), frame)
    assert [e.path for e in events] == [str(data.resolve())]


def test_files_opened_by_h5py_are_reported(tmp_path: Path, written_by: Callable[[Path], None]) -> None:
    written_by(tmp_path / "w.h5")
    events: list[FileReadEvent] = []
    files = FileReads(events.append)
    opener = h5py.File.__init__
    try:
        files.watch_h5py(sys.modules["h5py._hl.files"])
        for mode in ("r", "a", "r"):
            with h5py.File(tmp_path / "w.h5", mode):
                pass
    finally:
        h5py.File.__init__ = opener
    assert [e.path for e in events] == [str((tmp_path / "w.h5").resolve())]


@pytest.fixture
def written_by() -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file["x"] = [1, 2]

    return write
