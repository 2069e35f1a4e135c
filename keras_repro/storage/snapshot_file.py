"""Write named arrays atomically to one immutable HDF5 file, and read them without trusting the file.

    >>> import tempfile, numpy as np
    >>> path = Path(tempfile.mkdtemp(), "epoch-3.h5")
    >>> digest = write_snapshot(path, {"layers/0/kernel": np.ones((2, 3), "float32")}, metadata={"epoch": 3})
    >>> with Snapshot(path, digest=digest) as snapshot:
    ...     snapshot.metadata, snapshot.array("layers/0/kernel").sum()
    ({'epoch': 3}, np.float32(6.0))

Each array is a dataset of contiguous plain bytes, named by its number; the dataset `index` describes the
numbers in JSON (docs/ledger.md). All other features of HDF5 (links, filters, external files, chunks) are
refused, and values are read directly from their offsets after all sizes were checked. HDF5 only lays the file
out: our own code writes the bytes in one pass, and hashes them meanwhile.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_repro.errors import SnapshotError
from keras_repro.storage.atomic_files import atomic_write, open_regular_file
from keras_repro.storage.digest import string_bytes
from keras_repro.storage.hashed_io import ArrayFile, digest_of, read_whole, write_whole
from keras_repro.storage.hdf5_layout import hdf5_pieces
from keras_repro.utils.closeable import Closeable
from keras_repro.utils.text import system_reason
from keras_repro.utils.untrusted_json import is_shape, parse_json

FORMAT = 1

_INDEX = "index"
_LARGEST_INDEX = 1 << 26
_MOST_ARRAYS = 1 << 20
_NUMPY = frozenset({"float16", "float32", "float64", "complex64", "complex128", "bool"}) | {
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}
# Types of ml_dtypes, one byte per element, two for bfloat16.
_FURTHER = frozenset({"bfloat16", "int4", "uint4"}) | {
    f"float8_{kind}" for kind in ("e4m3fn", "e5m2", "e4m3b11fnuz", "e4m3fnuz", "e5m2fnuz")
}


def write_snapshot(
    path: str | os.PathLike[str], arrays: Mapping[str, Any], *, metadata: Mapping[str, Any] | None = None
) -> str:
    """Write named arrays to a temporary file, which is made durable and renamed.

    Args:
        path: the file; replaced if it exists. Its folder must exist.
        arrays: NumPy arrays by name, of any shape; of numbers (also of ml_dtypes) or of strings.
        metadata: further values in JSON form.

    Returns:
        The digest of the file's bytes: BLAKE3, 64 hexadecimal digits.

    Raises:
        SnapshotError: an array's dtype is not supported, the disk is full, or the file cannot be written; the
            old file at `path` is unchanged.
    """
    path = Path(path)
    contents, listed = [], []
    for name, value in arrays.items():
        array = np.asarray(value)
        dtype, data = _content(name, array)
        listed.append({"name": name, "dtype": dtype, "shape": list(array.shape)})
        contents.append(data)
    index = {"format": FORMAT, "arrays": listed, "metadata": dict(metadata or {})}
    text = json.dumps(index, separators=(",", ":"), ensure_ascii=True)
    named: dict[str, Any] = {str(number): data for number, data in enumerate(contents)}
    try:
        with atomic_write(path) as temporary:
            return write_whole(temporary, hdf5_pieces(named | {_INDEX: np.frombuffer(text.encode(), "u1")}))
    except OSError as error:
        raise SnapshotError(f"cannot write {path}: {system_reason(error)}") from None


class Snapshot(Closeable):
    """Read a snapshot.

    Args:
        path: the file.
        digest: the digest that `write_snapshot` returned; None to accept any file.
        whole: whether to read the file at once, which is faster if all arrays are needed: they are then
            views of one buffer.

    Attributes:
        metadata: the further values.
        arrays: dtype (as TensorFlow names it) and shape of each array, by name.

    Raises:
        SnapshotError: it is missing, has another digest, or is not a snapshot.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, digest: str | None = None, whole: bool = False
    ) -> None:
        self.path = Path(path)
        self._data: np.ndarray | None = None
        self._file: io.BufferedReader | ArrayFile = open_regular_file(
            self.path, what="snapshot", error=SnapshotError
        )
        try:
            actual = None
            if whole:
                read = read_whole(self._file)
                self._file.close()
                self._data, self._file, actual = read.data, ArrayFile(read.data), read.digest
            elif digest is not None:
                actual = digest_of(self._file)
            if digest not in (None, actual):
                raise SnapshotError(f"{self.path} is not the recorded file: its digest differs")
            self._read_index()
        except BaseException:
            self._file.close()
            raise

    def array(self, name: str) -> np.ndarray:
        """Return an array; strings as an array of `bytes`.

        Raises:
            KeyError: there is no array of this name.
            SnapshotError: it cannot be read.
        """
        dtype, shape = self.arrays[name]
        data = self._read(*self._extents[name])
        try:
            if dtype == "string":
                return self._strings(data.tobytes(), shape)
            return data.view(_numpy_dtype(dtype)).reshape(shape)
        except ValueError as error:  # such as more dimensions than this NumPy knows
            raise SnapshotError(f"cannot read {self.path}: {error}") from None

    def parts(self, name: str, most: int) -> Iterator[np.ndarray]:
        """Yield an array in parts of some rows each, to save memory.

        Args:
            name: the array's name.
            most: bytes of a part. A part has at least one row; strings and scalars are one part.

        Raises:
            KeyError: there is no array of this name.
            SnapshotError: it cannot be read.
        """
        dtype, shape = self.arrays[name]
        offset, size = self._extents[name]
        if dtype == "string" or not shape or size <= most:
            yield self.array(name)
            return
        row = size // shape[0]
        rows = max(1, most // row)
        for begin in range(0, shape[0], rows):
            count = min(rows, shape[0] - begin)
            data = self._read(offset + begin * row, count * row)
            yield data.view(_numpy_dtype(dtype)).reshape(count, *shape[1:])

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()

    def _read(self, offset: int, size: int) -> np.ndarray:
        if self._data is not None:
            return self._data[offset : offset + size]
        data = np.empty(size, "u1")
        self._file.seek(offset)
        if self._file.readinto(data.data) != size:
            raise SnapshotError(f"cannot read {self.path}: it is shorter than its index states")
        return data

    def _read_index(self) -> None:
        import h5py

        size = self._file.seek(0, os.SEEK_END)
        try:
            self._file.seek(0)
            with h5py.File(self._file, "r") as file:
                index = self._index(_extent(file, _INDEX, size))
                self.metadata: dict[str, Any] = index["metadata"]
                self.arrays: dict[str, tuple[str, tuple[int, ...]]] = {}
                self._extents: dict[str, tuple[int, int]] = {}
                if not isinstance(self.metadata, dict) or len(index["arrays"]) > _MOST_ARRAYS:
                    raise ValueError("its index is invalid")
                if set(file) != {_INDEX, *map(str, range(len(index["arrays"])))}:
                    raise ValueError("it holds a dataset that its index does not name")
                for number, described in enumerate(index["arrays"]):
                    name, dtype, shape = _described(described)
                    extent = _extent(file, str(number), size)
                    if dtype != "string" and extent[1] != math.prod(shape) * _numpy_dtype(dtype).itemsize:
                        raise ValueError(f"the size of array {number} differs from its index")
                    if name in self.arrays:
                        raise ValueError("two of its arrays have the same name")
                    self.arrays[name], self._extents[name] = (dtype, shape), extent
        except SnapshotError:
            raise
        except Exception as error:  # HDF5 raises many kinds of errors for a damaged file
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise SnapshotError(f"cannot read {self.path}: {reason}") from None

    def _index(self, extent: tuple[int, int]) -> Any:
        offset, size = extent
        if size > _LARGEST_INDEX:
            raise ValueError("its index is too long")
        self._file.seek(offset)
        index = parse_json(self._file.read(size))
        if index["format"] != FORMAT:
            raise ValueError(f"its format is {index['format']!r}; upgrade keras_repro")
        return index

    def _strings(self, data: bytes, shape: tuple[int, ...]) -> np.ndarray:
        strings, at = [], 0
        while at + 8 <= len(data):
            length = int.from_bytes(data[at : at + 8], "little")
            strings.append(data[at + 8 : at + 8 + length])
            at += 8 + length
        if at != len(data) or len(strings) != math.prod(shape):
            raise SnapshotError(f"cannot read {self.path}: its strings are damaged")
        result = np.empty(len(strings), object)
        result[:] = strings
        return result.reshape(shape)


def _content(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    """Return an array's dtype as TensorFlow names it, and its bytes."""
    if array.dtype.kind in "OSU":
        return "string", np.frombuffer(string_bytes(array), "u1")
    dtype = array.dtype.name
    if dtype not in _NUMPY | _FURTHER:
        raise SnapshotError(f"cannot write {name} to a snapshot: its dtype {dtype} is not supported")
    little = array if dtype in _FURTHER else array.astype(array.dtype.newbyteorder("<"), copy=False)
    return dtype, np.ascontiguousarray(little).reshape(-1).view("u1")


def _numpy_dtype(name: str) -> np.dtype[Any]:
    if name in _NUMPY:
        return np.dtype(name).newbyteorder("<")
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name))


def _described(described: Any) -> tuple[str, str, tuple[int, ...]]:
    name, dtype, shape = described["name"], described["dtype"], described["shape"]
    known = type(name) is str and (dtype == "string" or dtype in _NUMPY | _FURTHER)
    if not known or not is_shape(shape):
        raise ValueError("its index describes an impossible array")
    return name, dtype, tuple(shape)


def _extent(file: Any, name: str, size: int) -> tuple[int, int]:
    """Return offset and size of a dataset in the file; it must be contiguous plain bytes."""
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} in it is a link, which is not followed")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype != np.dtype("u1") or dataset.ndim != 1:
        raise ValueError(f"{name} in it is not an array of bytes")
    properties = dataset.id.get_create_plist()
    if (
        properties.get_layout() != h5py.h5d.CONTIGUOUS
        or properties.get_external_count()
        or properties.get_nfilters()
    ):
        raise ValueError(f"{name} in it is not stored as contiguous plain bytes")
    count = int(dataset.shape[0])
    if count == 0:
        return 0, 0
    offset = dataset.id.get_offset()
    if offset is None or dataset.id.get_storage_size() != count or offset + count > size:
        raise ValueError(f"{name} in it claims to be larger than the file")
    return int(offset), count
