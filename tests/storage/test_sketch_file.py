"""The file of sketches: records are read back, an incomplete end is ignored, other damage is reported."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import blake3
import numpy as np
import pytest

from keras_repro.errors import LedgerError
from keras_repro.storage.linear_sketch import sketch_rows
from keras_repro.storage.sketch_file import SketchedTensor, SketchFile, SketchWriter

KERNEL = SketchedTensor("layers/0/kernel", "float32", (40, 50))
COUNT = SketchedTensor("layers/1/count", "int64", ())
STEPS = ("start 0", "epoch 0 0", "epoch 0 1")


def rows_of(tensor: SketchedTensor, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 99, tensor.shape).astype(tensor.dtype)
    return sketch_rows(values, tensor.dtype)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "sketches.bin"
    with SketchWriter(path) as writer:
        writer.append(STEPS[0], "00" * 16, [(KERNEL, rows_of(KERNEL, 0)), (COUNT, rows_of(COUNT, 0))])
        writer.append(STEPS[1], "11" * 16, [(KERNEL, rows_of(KERNEL, 1))])
        writer.append(STEPS[2], "22" * 16, [(COUNT, rows_of(COUNT, 2))])
    return path


def read(path: Path) -> list[tuple[str, str, dict[str, list[float]]]]:
    return [
        (
            r.position,
            r.digest,
            {t.name: row.sum(axis=0).tolist() for t, row in zip(r.tensors, r.rows, strict=True)},
        )
        for r in SketchFile(path).records()
    ]


def test_omitted_tensor_keeps_its_sketch(written: Path) -> None:
    expected = [(0, 0), (1, 0), (1, 2)]
    records = read(written)
    assert [f[:2] for f in records] == list(zip(STEPS, ["00" * 16, "11" * 16, "22" * 16], strict=True))
    for (_, _, tensors), (kernel, count) in zip(records, expected, strict=True):
        assert tensors[KERNEL.name] == rows_of(KERNEL, kernel).sum(axis=0).tolist()
        assert tensors[COUNT.name] == rows_of(COUNT, count).sum(axis=0).tolist()


def test_tensor_of_another_shape_replaces_the_one_of_its_name(tmp_path: Path) -> None:
    other = SketchedTensor(KERNEL.name, "float32", (7, 8))
    with SketchWriter(tmp_path / "s") as writer:
        writer.append(STEPS[0], "00" * 16, [(KERNEL, rows_of(KERNEL, 0))])
        writer.append(STEPS[1], "11" * 16, [(other, rows_of(other, 1))])
    assert [r.tensors for r in SketchFile(tmp_path / "s").records()] == [(KERNEL,), (other,)]


def test_file_is_small(written: Path) -> None:
    # 32 numbers per tensor, 64 for 64-bit numbers.
    assert written.stat().st_size < 8 * 32 * (2 + 3 * 2) + 400


def test_truncated_file_keeps_its_complete_frames(written: Path, tmp_path: Path) -> None:
    data = written.read_bytes()
    whole = read(written)
    counts = set()
    for length in [*range(0, 60), *range(60, len(data), 37), len(data) - 1]:
        cut = tmp_path / "cut"
        cut.write_bytes(data[:length])
        file = SketchFile(cut)
        positions = [r.position for r in file.records()]
        assert positions == list(STEPS[: len(positions)])
        counts.add(len(positions))
        torn = [f"{cut}: the last frame is incomplete and is ignored"]
        assert file.notes in ([], torn)
    assert counts == {0, 1, 2}
    assert len(whole) == 3


def test_any_changed_byte_is_detected(written: Path, tmp_path: Path) -> None:
    data = bytearray(written.read_bytes())
    for place in [*range(0, 140), *range(140, len(data), 101), len(data) - 1]:
        data[place] ^= 4
        (tmp_path / "changed").write_bytes(data)
        data[place] ^= 4
        with pytest.raises(LedgerError, match=r"^(cannot read )?\S+( is damaged at frame \d+: .*|: it.*)$"):
            read(tmp_path / "changed")


def frame(kind: int, payload: bytes) -> bytes:
    head = struct.pack("<II", kind, len(payload))
    check = [blake3.blake3(b).digest(length=8) for b in (head, payload)]
    return head + check[0] + payload + check[1]


def record(count: int, numbers: bytes = b"", rows: bytes = b"", *, length: int = 8) -> bytes:
    return struct.pack("<II16s", length, count, b"\0" * 16) + b"start 0 " + numbers + rows


@pytest.mark.parametrize(
    "frames",
    [
        [frame(1, b"{")],
        [frame(1, b"[" * 100_000)],
        [frame(1, json.dumps({"tensors": [["a", "float32", [-1]]]}).encode())],
        [frame(1, json.dumps({"tensors": [["a", "float32", [1] * 99]]}).encode())],
        [frame(1, json.dumps({"tensors": [["a", "float32", [0, 1 << 62, 1 << 62]]]}).encode())],
        [frame(1, json.dumps({"tensors": [["a", ["float32"], []]]}).encode())],
        [frame(1, b'{"tensors":[' + b"[]," * (1 << 19) + b"[]]}")],
        [frame(1, json.dumps({"tensors": 3}).encode())],
        [frame(2, b"")],
        [frame(2, record(1, struct.pack("<II", 0, 0), bytes(256)))],
        [frame(2, record(2**32 - 1))],
        [frame(2, record(0, length=2**31))],
        [frame(1, b'{"tensors":[["a","float32",[9]]]}'), frame(2, record(1, bytes(8), bytes(255)))],
        [frame(1, b'{"tensors":[["a","float32",[9]]]}'), frame(2, record(1, bytes(8), bytes(512)))],
    ],
)
def test_inconsistent_frames_are_refused(tmp_path: Path, frames: list[bytes]) -> None:
    path = tmp_path / "s"
    path.write_bytes(b"KRSKETCH" + struct.pack("<II", 1, 32) + b"".join(frames))
    with pytest.raises(LedgerError, match=rf"^{path} is damaged at frame {len(frames)}$"):
        read(path)


def test_frame_that_claims_a_huge_size_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(b"KRSKETCH" + struct.pack("<II", 1, 32) + frame(2, b"x" * 8)[:8])
    head = struct.pack("<II", 2, 2**32 - 1)
    path.write_bytes(path.read_bytes()[:16] + head + blake3.blake3(head).digest(length=8) + b"rest")
    file = SketchFile(path)
    assert list(file.records()) == []
    assert file.notes == [f"{path}: the last frame is incomplete and is ignored"]


def test_frame_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(b"KRSKETCH" + struct.pack("<II", 1, 32) + frame(9, b"x" * 8))
    head = struct.pack("<II", 2, (1 << 28) + 8)
    with open(path, "ab") as file:
        file.write(head + blake3.blake3(head).digest(length=8))
        file.truncate(1 << 29)  # a hole: it takes no room on the disk
    with pytest.raises(LedgerError, match=f"^{path} is damaged at frame 2: it is too long$"):
        read(path)


def test_frames_of_unknown_kind_are_skipped(written: Path) -> None:
    data = written.read_bytes()
    written.write_bytes(data[:16] + frame(9, b"from a newer version") + data[16:])
    assert [r[0] for r in read(written)] == list(STEPS)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with pytest.raises(LedgerError, match=f"no file of sketches at {path}"):
        SketchFile(path)
    path.write_bytes(b"something else entirely")
    with pytest.raises(LedgerError, match="it is not a file of sketches"):
        SketchFile(path)
    path.write_bytes(b"KRSKETCH" + struct.pack("<II", 2, 32))
    with pytest.raises(LedgerError, match="its format is newer; upgrade keras_repro"):
        SketchFile(path)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(LedgerError, match="it is a link, which is not followed"):
        SketchFile(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LedgerError, match="it is not a regular file"):
        SketchFile(tmp_path / "pipe")


def test_full_disk_keeps_earlier_records(tmp_path: Path) -> None:
    with SketchWriter(tmp_path / "s") as writer:
        writer.append(STEPS[0], "00" * 16, [(KERNEL, rows_of(KERNEL, 0))])
        file = writer._file
        descriptor, file._descriptor = file._descriptor, os.open("/dev/full", os.O_WRONLY)
        with pytest.raises(LedgerError, match=f"cannot write {tmp_path / 's'}: No space left on device"):
            writer.append(STEPS[1], "11" * 16, [(COUNT, rows_of(COUNT, 0))])
        os.close(file._descriptor)
        file._descriptor = descriptor
        # A tensor whose record failed is described again.
        writer.append(STEPS[2], "22" * 16, [(COUNT, rows_of(COUNT, 0))])
    assert [r.position for r in SketchFile(tmp_path / "s").records()] == [STEPS[0], STEPS[2]]
