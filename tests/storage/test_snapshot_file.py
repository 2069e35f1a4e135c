"""Snapshots: arrays are read back, files are written atomically, and no file is trusted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blake3
import h5py
import ml_dtypes
import numpy as np
import pytest

from keras_repro.errors import SnapshotError
from keras_repro.storage.snapshot_file import Snapshot, write_snapshot

ARRAYS: dict[str, np.ndarray] = {
    "layers/0/kernel": np.arange(6, dtype="float32").reshape(2, 3),
    "layers/0/a name with \u2028 and \ud800 in it/": np.array(7, "int64"),
    "": np.zeros((0, 3), "float64"),
    "half": np.array([1.5, -0.0, np.nan], "float16"),
    "mask": np.array([[True], [False]]),
    "complex": np.array([1 + 2j], "complex128"),
    "big endian": np.array([1, 2**40], ">i8"),
    "strided": np.arange(12, dtype="uint16").reshape(3, 4).T,
    "words": np.array([["a", "\u00fcber"], ["", "x" * 300]], object),
    **{
        name: np.array([1, 3, 0.5], "f4").astype(getattr(ml_dtypes, name))
        for name in ("bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4")
    },
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "snapshots.h5"


@pytest.mark.parametrize("whole", [False, True])
def test_arrays_are_read_back_bit_identical(path: Path, whole: bool) -> None:
    metadata = {"epoch": 3, "nested": {"a": [1, None]}}
    digest = write_snapshot(path, ARRAYS, metadata=metadata)
    assert digest == blake3.blake3(path.read_bytes()).hexdigest()
    with Snapshot(path, digest=digest, whole=whole) as snapshot:
        assert snapshot.metadata == metadata
        assert list(snapshot.arrays) == list(ARRAYS)
        for name, array in ARRAYS.items():
            restored = snapshot.array(name)
            assert snapshot.arrays[name][1] == restored.shape == array.shape
            if name == "words":
                assert restored.tolist() == [[b"a", "\u00fcber".encode()], [b"", b"x" * 300]]
                continue
            assert restored.dtype == array.dtype.newbyteorder("=")
            assert restored.tobytes() == array.astype(restored.dtype).tobytes()
        with pytest.raises(KeyError):
            snapshot.array("other")


def test_only_one_file_is_left(path: Path) -> None:
    (path.parent / f"{path.name}.part").write_bytes(b"of a process that was killed")
    first = write_snapshot(path, {"a": np.zeros(3)})
    assert write_snapshot(path, {"a": np.ones(3)}) != first
    assert list(path.parent.iterdir()) == [path]


def test_failed_write_keeps_the_old_snapshot(path: Path, tmp_path: Path) -> None:
    digest = write_snapshot(path, {"a": np.zeros(3)})
    with pytest.raises(SnapshotError, match="cannot write when to a snapshot: its dtype datetime64"):
        write_snapshot(path, {"a": np.zeros(3), "when": np.zeros(3, "M8[s]")})
    assert list(tmp_path.iterdir()) == [path]
    Snapshot(path, digest=digest).close()
    with pytest.raises(SnapshotError, match=f"cannot write {tmp_path}/none/a.h5: "):
        write_snapshot(tmp_path / "none" / "a.h5", {})


@pytest.mark.parametrize("whole", [False, True])
def test_file_with_another_digest_is_refused(path: Path, whole: bool) -> None:
    digest = write_snapshot(path, {"a": np.zeros(3)})
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(SnapshotError, match=f"{path} is not the recorded file: its digest differs"):
        Snapshot(path, digest=digest, whole=whole)


def write_file(path: Path, index: Any, make: Callable[[h5py.File], Any] = lambda file: None) -> Path:
    with h5py.File(path, "w") as file:
        text = index if isinstance(index, bytes) else json.dumps(index).encode()
        file.create_dataset("index", data=np.frombuffer(text, "u1"))
        make(file)
    return path


def index_of(*arrays: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"format": 1, "arrays": list(arrays), "metadata": {}} | changes


FLOATS = {"name": "a", "dtype": "float32", "shape": [25]}
PLAIN = np.zeros(100, "u1")


def external(file: h5py.File) -> None:
    file.create_dataset("0", (100,), "u1", external=[("/etc/hostname", 0, 100)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((100,), "u1")
    layout[:] = h5py.VirtualSource("/etc/hostname", "0", (100,))
    file.create_virtual_dataset("0", layout)


def soft_link(file: h5py.File) -> None:
    file["0"] = h5py.SoftLink("/index")


def external_link(file: h5py.File) -> None:
    file["0"] = h5py.ExternalLink("/etc/hostname", "/0")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (external, "0 in it is not stored as contiguous plain bytes"),
        (virtual, "0 in it is not stored as contiguous plain bytes"),
        (soft_link, "0 in it is a link, which is not followed"),
        (external_link, "0 in it is a link, which is not followed"),
        (
            lambda f: f.create_dataset("0", data=PLAIN, chunks=(10,), compression="gzip"),
            "not stored as contiguous plain",
        ),
        (lambda f: f.create_dataset("0", data=PLAIN, chunks=(10,)), "not stored as contiguous plain bytes"),
        (
            lambda f: f.create_dataset("0", (1 << 50,), "u1", chunks=(1 << 20,)),
            "not stored as contiguous plain bytes",
        ),
        (lambda f: f.create_dataset("0", (1 << 40,), "u1"), "it claims to be larger than the file"),
        (lambda f: f.create_dataset("0", data=PLAIN.view("f4")), "0 in it is not an array of bytes"),
        (lambda f: f.create_dataset("0", data=PLAIN.reshape(10, 10)), "0 in it is not an array of bytes"),
        (lambda f: f.create_group("0"), "0 in it is not an array of bytes"),
        (lambda f: f.create_dataset("0", data=PLAIN[:99]), "the size of array 0 differs from its index"),
        (lambda f: None, "it holds a dataset that its index does not name"),
        (
            lambda f: [f.create_dataset(n, data=PLAIN) for n in "01"],
            "it holds a dataset that its index does not name",
        ),
    ],
)
def test_other_hdf5_features_are_refused(path: Path, make: Callable[[h5py.File], Any], message: str) -> None:
    write_file(path, index_of(FLOATS), make)
    for whole in (False, True):
        with pytest.raises(SnapshotError, match=rf"^cannot read {path}: .*{message}"):
            Snapshot(path, whole=whole)


@pytest.mark.parametrize(
    "index",
    [
        b"{",
        b"[" * 100_000,
        [],
        {},
        index_of(FLOATS, format=2),
        index_of(FLOATS, metadata=[]),
        index_of(FLOATS | {"dtype": "object"}),
        index_of(FLOATS | {"dtype": "M8[s]"}),
        index_of(FLOATS | {"dtype": ["float32"]}),
        index_of(FLOATS | {"name": 3}),
        index_of(FLOATS | {"shape": [-5, -5]}),
        index_of(FLOATS | {"shape": [1 << 62, 1 << 62]}),
        index_of(FLOATS | {"shape": [0, 1 << 62, 1 << 62]}),
        index_of(FLOATS | {"shape": [25.0]}),
        index_of(FLOATS, metadata={"x": [[]] * (1 << 19)}),
        index_of(FLOATS | {"shape": [1] * 99}),
        index_of({"name": "a"}),
    ],
)
def test_inconsistent_index_is_refused(path: Path, index: Any) -> None:
    write_file(path, index, lambda f: f.create_dataset("0", data=PLAIN))
    with pytest.raises(SnapshotError, match=rf"^cannot read {path}: [^\n]+$"):
        Snapshot(path)


def test_two_arrays_of_one_name_are_refused(path: Path) -> None:
    write_file(path, index_of(FLOATS, FLOATS), lambda f: [f.create_dataset(n, data=PLAIN) for n in "01"])
    with pytest.raises(SnapshotError, match="two of its arrays have the same name"):
        Snapshot(path)


def test_damaged_strings_are_refused(path: Path) -> None:
    described = {"name": "a", "dtype": "string", "shape": [2]}
    write_file(path, index_of(described), lambda f: f.create_dataset("0", data=np.full(20, 255, "u1")))
    with Snapshot(path) as snapshot, pytest.raises(SnapshotError, match="its strings are damaged"):
        snapshot.array("a")


def test_other_files_are_no_snapshots(path: Path, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError, match=f"no snapshot at {path}"):
        Snapshot(path)
    path.write_bytes(b"no HDF5")
    with pytest.raises(SnapshotError, match=f"cannot read {path}: "):
        Snapshot(path)
    digest = write_snapshot(path, ARRAYS)
    whole = path.read_bytes()
    for length in range(0, len(whole), 997):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(SnapshotError):
            Snapshot(tmp_path / "cut", digest=digest)
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(SnapshotError, match="it is a link, which is not followed"):
        Snapshot(tmp_path / "link")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SnapshotError, match="it is not a regular file"):
        Snapshot(tmp_path / "pipe")


def test_write_error_has_the_reason_of_the_system(tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(SnapshotError, match=r"^cannot write .*large\.h5: File too large$"):
            write_snapshot(tmp_path / "large.h5", {"x": np.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
