"""Files written in one pass have the same bytes and digest for any division into pieces."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import blake3
import h5py
import numpy as np
import pytest

from keras_repro.storage.hashed_io import ArrayFile, digest_of, read_whole, write_whole
from keras_repro.storage.hdf5_layout import hdf5_pieces

BLOCK = 1 << 23


@pytest.mark.parametrize(
    "sizes",
    [
        [],
        [0, 0],
        [5, 0, 3],
        [BLOCK],
        [BLOCK - 1, 1, 1],
        [3, 2 * BLOCK + 5, 7],
        [9] * 3000,
    ],
)
def test_pieces_become_one_file(tmp_path: Path, sizes: Sequence[int]) -> None:
    data = np.random.default_rng(0).integers(0, 256, sum(sizes), "u1")
    ends = np.cumsum([0, *sizes])
    pieces = [memoryview(data[a:b].data) for a, b in pairwise(ends)]
    digest = write_whole(tmp_path / "a", pieces)
    assert (tmp_path / "a").read_bytes() == data.tobytes()
    assert digest == blake3.blake3(data.tobytes()).hexdigest()
    with open(tmp_path / "a", "rb") as file:
        whole = read_whole(file)
        assert (whole.data.tobytes(), whole.digest) == (data.tobytes(), digest)
        assert digest_of(file) == digest


def test_partial_writes_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def a_few(descriptor: int, buffers: Any) -> int:
        return os.write(descriptor, b"".join(buffers)[:5])

    monkeypatch.setattr(os, "writev", a_few)
    digest = write_whole(tmp_path / "a", [memoryview(b"abc"), memoryview(b"defghi"), memoryview(b"jk")])
    assert (tmp_path / "a").read_bytes() == b"abcdefghijk"
    assert digest == blake3.blake3(b"abcdefghijk").hexdigest()


def test_existing_file_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"there")
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "a", [memoryview(b"other")])
    assert (tmp_path / "a").read_bytes() == b"there"


def test_array_is_read_as_a_file(tmp_path: Path) -> None:
    file = ArrayFile(np.arange(10, dtype="u1"))
    assert file.read(3) == bytes([0, 1, 2])
    assert file.seek(-2, os.SEEK_END) == 8
    assert (file.read(), file.read()) == (bytes([8, 9]), b"")


@pytest.mark.parametrize("count", [0, 1, 3, 500])
def test_hdf5_reads_the_pieces(tmp_path: Path, count: int) -> None:
    draw = np.random.default_rng(0)
    arrays = {str(n): draw.integers(0, 256, int(draw.integers(0, 9000)), "u1") for n in range(count)}
    pieces = hdf5_pieces(arrays)
    assert sum(p.obj is a.data.obj for p in pieces for a in arrays.values() if len(a)) == sum(
        len(a) > 0 for a in arrays.values()
    ), "no array is copied"
    (tmp_path / "a.h5").write_bytes(b"".join(pieces))
    with h5py.File(tmp_path / "a.h5", "r") as file:
        assert set(file) == set(arrays)
        for name, array in arrays.items():
            assert file[name][:].tobytes() == array.tobytes()
            assert len(array) < 2048 or file[name].id.get_offset() % 64 == 0
