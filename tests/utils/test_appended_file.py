"""Pieces are appended whole or not at all."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from keras_repro.errors import LedgerError
from keras_repro.utils.appended_file import AppendedFile


def test_piece_that_does_not_fit_leaves_no_part_behind(tmp_path: Path) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    with AppendedFile(tmp_path / "a") as file:
        file.append(b"whole")
        resource.setrlimit(resource.RLIMIT_FSIZE, (8, most))
        try:
            with pytest.raises(LedgerError, match=r"cannot write .*: File too large"):
                file.append(b"too long")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        assert (tmp_path / "a").read_bytes() == b"whole"
        file.append(b", next")
    assert (tmp_path / "a").read_bytes() == b"whole, next"


def test_interrupted_piece_leaves_no_part_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def interrupted(descriptor: int, data: bytes) -> int:
        write(descriptor, data)
        raise KeyboardInterrupt

    with AppendedFile(tmp_path / "a") as file:
        monkeypatch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            file.append(b"uncounted")
    assert (tmp_path / "a").read_bytes() == b""


def test_existing_file_is_not_created_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"there")
    with pytest.raises(FileExistsError):
        AppendedFile(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"there"


def test_existing_file_is_continued_after_its_complete_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"wholepar")
    with AppendedFile(tmp_path / "a", size=5) as file:
        file.append(b", next")
        file.sync()
    assert (tmp_path / "a").read_bytes() == b"whole, next"
    assert file.closed
    file.sync()  # does nothing


def test_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"there")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    with pytest.raises(OSError, match="symbolic links"):
        AppendedFile(tmp_path / "link", size=0)
