"""Write and read files in one pass, and hash them meanwhile.

>>> import tempfile
>>> path = Path(tempfile.mkdtemp(), "a")
>>> digest = write_whole(path, [memoryview(b"in "), memoryview(b"pieces")])
>>> with open(path, "rb") as file:
...     whole = read_whole(file)
>>> whole.data.tobytes(), whole.digest == digest
(b'in pieces', True)
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import blake3
import numpy as np

_BLOCK = 1 << 23  # bytes per read; so many are hashed in a thread
_MOST_PIECES = 1024  # per call: IOV_MAX of Linux


def write_whole(path: Path, pieces: Sequence[memoryview]) -> str:
    """Write a new file in one pass.

    Args:
        path: the file, which does not exist.
        pieces: its bytes in order.

    Returns:
        The digest of its bytes: BLAKE3, 64 hexadecimal digits.

    Raises:
        OSError: the disk is full, or the file exists.
    """
    with _HashThread() as hashed:
        hashed.add(*pieces)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            for first in range(0, len(pieces), _MOST_PIECES):
                _write_all(descriptor, pieces[first : first + _MOST_PIECES])
        finally:
            os.close(descriptor)
    return hashed.digest


@dataclass(frozen=True, eq=False)
class HashedContent:
    """The content of a file.

    Attributes:
        data: its bytes.
        digest: BLAKE3 of them, 64 hexadecimal digits.
    """

    data: np.ndarray
    digest: str


def read_whole(file: io.BufferedReader) -> HashedContent:
    """Read a file in one pass, up to its present size."""
    size, at = os.fstat(file.fileno()).st_size, 0
    data = np.empty(size, "u1")
    view = memoryview(data.data)
    with _HashThread() as hashed, io.FileIO(file.fileno(), closefd=False) as plain:
        plain.seek(0)
        while length := plain.readinto(view[at : at + _BLOCK]):
            hashed.add(view[at : at + length])
            at += length
    return HashedContent(data[:at], hashed.digest)


def digest_of(file: io.BufferedReader) -> str:
    """Return BLAKE3 of a file's bytes, 64 hexadecimal digits, without keeping them in memory."""
    hasher = blake3.blake3(max_threads=blake3.blake3.AUTO)
    buffer = memoryview(bytearray(_BLOCK))
    file.seek(0)
    while length := file.readinto(buffer):
        hasher.update(buffer[:length])
    return str(hasher.hexdigest())


class MemoryFile(io.RawIOBase):
    """A file in memory of `size` bytes, at position `at`."""

    size = at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self.at, os.SEEK_END: self.size}[whence]
        return self.at

    def tell(self) -> int:
        return self.at


class ArrayFile(MemoryFile):
    """Wrap bytes in memory as a readable file, without a copy."""

    def __init__(self, data: np.ndarray) -> None:
        self._data = memoryview(data.data)
        self.size = len(self._data)

    def readinto(self, buffer: Any) -> int:
        part = self._data[self.at : self.at + len(buffer)]
        buffer[: len(part)] = part
        self.at += len(part)
        return len(part)


class _HashThread:
    """Hash pieces in order, in a thread if they are large."""

    def __init__(self) -> None:
        self._hasher = blake3.blake3()
        self._queue: SimpleQueue[memoryview | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def add(self, *pieces: memoryview) -> None:
        """Add the next pieces; they must not change until the digest is complete."""
        for piece in pieces:
            self._queue.put(piece)
        if self._thread is None and sum(map(len, pieces)) >= _BLOCK:
            self._thread = threading.Thread(target=self._hash, name="keras_repro digest")
            self._thread.start()

    @property
    def digest(self) -> str:
        """The digest of all pieces, after the end of the `with` block."""
        return str(self._hasher.hexdigest())

    def __enter__(self) -> _HashThread:
        return self

    def __exit__(self, *error: object) -> None:
        self._queue.put(None)
        if self._thread is None:
            self._hash()
        else:
            self._thread.join()

    def _hash(self) -> None:
        for piece in iter(self._queue.get, None):
            self._hasher.update(piece)


def _write_all(descriptor: int, pieces: Sequence[memoryview]) -> None:
    rest = list(pieces)
    while rest:
        written = os.writev(descriptor, rest)
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if rest:
            rest[0] = rest[0][written:]
