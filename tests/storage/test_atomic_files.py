"""Files are written whole or not at all, and never through a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from command_table import put, tree

from keras_repro.storage.atomic_files import (
    atomic_write,
    files_in,
    leads_out,
    make_folder,
    open_to_write,
    remove_file,
)


def test_links_are_refused(tmp_path: Path) -> None:
    put(tmp_path, ["outside/f"])
    for name, target in (("file", "outside/f"), ("folder", "outside"), ("dangling", "outside/new")):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "a.part").symlink_to("outside/f")
    before = tree(tmp_path)
    for name in ("file", "folder", "dangling"):
        for change in (open_to_write, remove_file, make_folder):
            with pytest.raises(OSError, match="it is a link, which is not followed"):
                change(tmp_path / name)
    for name in ("file", "dangling", "a"):
        with pytest.raises(OSError, match="it is a link"), atomic_write(tmp_path / name) as temporary:
            temporary.write_text("new")
    assert (
        files_in(tmp_path / "folder", ".*") == files_in(tmp_path, ".*") == files_in(tmp_path / "no", "") == []
    )
    assert tree(tmp_path) == before


def test_only_regular_files_are_opened_to_write(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="it is not a regular file"):
        open_to_write(tmp_path / "fifo")
    os.close(reader)
    (tmp_path / "f").write_text("longer than the new text")
    with open_to_write(tmp_path / "f") as file:
        file.write(b"new")
    assert (tmp_path / "f").read_text() == "new"


def test_links_below_a_folder_are_found(tmp_path: Path) -> None:
    put(tmp_path, ["real/a/f"])
    (tmp_path / "top").symlink_to("real")
    (tmp_path / "real/b").symlink_to("a")
    assert not leads_out(tmp_path / "top/a/f", tmp_path / "top")
    assert leads_out(tmp_path / "top/b/f", tmp_path / "top")
    assert leads_out(tmp_path / "top/b", tmp_path / "top")
    assert not leads_out(tmp_path / "real/a", tmp_path)
