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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import blake3
import numpy as np

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

_BLOCK = 1 << 23  # bytes per read
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
    hasher = blake3.blake3()
    with _one_thread() as thread:
        thread.submit(lambda: [hasher.update(piece) for piece in pieces])
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            for first in range(0, len(pieces), _MOST_PIECES):
                _write_all(descriptor, pieces[first : first + _MOST_PIECES])
        finally:
            os.close(descriptor)
    return str(hasher.hexdigest())


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
    hasher = blake3.blake3()
    with _one_thread() as thread, io.FileIO(file.fileno(), closefd=False) as plain:
        plain.seek(0)
        while length := plain.readinto(view[at : at + _BLOCK]):
            thread.submit(hasher.update, view[at : at + length])
            at += length
    return HashedContent(data[:at], str(hasher.hexdigest()))


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


def _one_thread() -> ThreadPoolExecutor:
    """Return a thread that hashes pieces in order; they must not change before its `with` block ends."""
    # Not at the top: a script that uses no Keras is recorded after its threads have ended, too late for it.
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(1, thread_name_prefix="keras_repro digest")


def _write_all(descriptor: int, pieces: Sequence[memoryview]) -> None:
    rest = list(pieces)
    while rest:
        written = os.writev(descriptor, rest)
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if rest:
            rest[0] = rest[0][written:]
