"""Lay out named bytes in an HDF5 file without writing it: HDF5's own bytes, and the offsets of the others.

    >>> import numpy as np
    >>> pieces = hdf5_pieces({"a": np.arange(200, dtype="u1"), "b": np.zeros(0, "u1")})
    >>> b"".join(pieces)[1:4], any(p is not None and bytes(p) == bytes(range(200)) for p in pieces)
    (b'HDF', True)

So our own code can write the file in one pass, from its first byte to its last.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_repro.storage.hashed_io import MemoryFile

# Arrays are read back as views of the file's bytes: large ones are aligned as NumPy and TensorFlow prefer.
_ALIGNMENT = 64
_PAGE = 4096


def hdf5_pieces(named: Mapping[str, Any]) -> list[memoryview]:
    """Return the pieces of an HDF5 file with one dataset of contiguous plain bytes for each of `named`.

    Args:
        named: one-dimensional contiguous buffers of bytes by dataset name.

    Returns:
        The pieces in order: HDF5's own bytes, and the buffers of `named`, which are not copied.
    """
    import h5py

    own = _PagedFile()
    views: dict[int, memoryview] = {}
    with h5py.File(
        own, "w", alignment_threshold=_ALIGNMENT, alignment_interval=_ALIGNMENT, locking=False
    ) as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        for name, data in named.items():
            view = memoryview(data).cast("B")
            space = h5py.h5s.create_simple((len(view),))
            dataset = h5py.h5d.create(file.id, name.encode(), h5py.h5t.STD_U8LE, space, creation)
            if len(view):
                views[dataset.get_offset()] = view
    return _interleaved(own, views)


def _interleaved(own: _PagedFile, views: Mapping[int, memoryview]) -> list[memoryview]:
    """Return the views at their offsets, with HDF5's own bytes between them."""
    pieces: list[memoryview] = []
    at = 0
    for offset, view in sorted(views.items(), key=lambda item: item[0]):
        pieces += [own.between(at, offset), view]
        at = offset + len(view)
    return [p for p in (*pieces, own.between(at, max(own.size, at))) if len(p)]


class _PagedFile(MemoryFile):
    """A file in memory that keeps only written pages, for HDF5's `fileobj` driver."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}

    def between(self, start: int, end: int) -> memoryview:
        """Return the bytes of a range; zeros for pages that were not written."""
        data = bytearray()
        while start < end:
            number, within = divmod(start, _PAGE)
            length = min(_PAGE - within, end - start)
            page = self._pages.get(number)
            data += bytes(length) if page is None else page[within : within + length]
            start += length
        return memoryview(data)

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        length = len(rest)
        while rest:
            number, within = divmod(self.at, _PAGE)
            page = self._pages.setdefault(number, bytearray(_PAGE))
            part = rest[: _PAGE - within]
            page[within : within + len(part)] = part
            self.at, rest = self.at + len(part), rest[len(part) :]
        self.size = max(self.size, self.at)
        return length

    def readinto(self, buffer: Any) -> int:
        buffer[:] = self.between(self.at, self.at + len(buffer))
        self.at += len(buffer)
        return len(buffer)

    def truncate(self, size: int | None = None) -> int:
        self.size = self.at if size is None else size
        return self.size
