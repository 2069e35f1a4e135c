"""Files that are written and read in one pass, with their digest taken beside it.

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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import blake3
import numpy as np

_BLOCK = 1 << 23  # bytes that are written, read and hashed at a time
_MOST_PIECES = 1024  # of one call: IOV_MAX of Linux


def write_whole(path: Path, pieces: Sequence[memoryview]) -> str:
    """Writes a new file in one pass.

    Args:
        path: the file, which is not there.
        pieces: its bytes, in their order.

    Returns:
        The digest of its bytes: BLAKE3, 64 hexadecimal digits.

    Raises:
        OSError: the disk is full, or the file is there.
    """
    blocks = list(_blocks_of(pieces))
    with _HashThread() as hashed:
        hashed.add(*blocks)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            for block in blocks:
                _write_all(descriptor, block)
        finally:
            os.close(descriptor)
    return hashed.digest


@dataclass(frozen=True, eq=False)
class HashedContent:
    """All of a file.

    Attributes:
        data: its bytes.
        digest: BLAKE3 of them, 64 hexadecimal digits.
    """

    data: np.ndarray
    digest: str


def read_whole(file: io.BufferedReader) -> HashedContent:
    """Reads a file in one pass, as long as it is now."""
    size, at = os.fstat(file.fileno()).st_size, 0
    data = np.empty(size, "u1")
    view = memoryview(data.data)
    with _HashThread() as hashed, io.FileIO(file.fileno(), closefd=False) as plain:
        plain.seek(0)
        while length := plain.readinto(view[at : at + _BLOCK]):
            hashed.add([view[at : at + length]])
            at += length
    return HashedContent(data[:at], hashed.digest)


def digest_of(file: io.BufferedReader) -> str:
    """BLAKE3 of a file's bytes, 64 hexadecimal digits; none of it is kept."""
    hasher = blake3.blake3(max_threads=blake3.blake3.AUTO)
    buffer = memoryview(bytearray(_BLOCK))
    file.seek(0)
    while length := file.readinto(buffer):
        hasher.update(buffer[:length])
    return str(hasher.hexdigest())


class ArrayFile(io.RawIOBase):
    """Bytes in memory as a file that is read, without a copy of them."""

    def __init__(self, data: np.ndarray) -> None:
        self._data = memoryview(data.data)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._data)}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        part = self._data[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


class _HashThread:
    """Hashes blocks in their order, in a thread where there is much."""

    def __init__(self) -> None:
        self._hasher = blake3.blake3()
        self._waiting: SimpleQueue[Sequence[memoryview]] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def add(self, *blocks: Sequence[memoryview]) -> None:
        """What comes next; it may not change until the digest is there."""
        for block in blocks:
            self._waiting.put(block)
        if self._thread is None and blocks and sum(map(len, blocks[0])) >= _BLOCK:
            self._thread = threading.Thread(target=self._hash, name="keras_repro digest")
            self._thread.start()

    @property
    def digest(self) -> str:
        """Of all blocks, once the `with` block is left."""
        return str(self._hasher.hexdigest())

    def __enter__(self) -> _HashThread:
        return self

    def __exit__(self, *error: object) -> None:
        self._waiting.put([])
        if self._thread is None:
            self._hash()
        else:
            self._thread.join()

    def _hash(self) -> None:
        while block := self._waiting.get():
            for piece in block:
                self._hasher.update(piece)


def _blocks_of(pieces: Iterable[memoryview]) -> Iterator[list[memoryview]]:
    """Pieces in blocks of at most a size, for one call each."""
    block: list[memoryview] = []
    room = _BLOCK
    for piece in pieces:
        while piece:
            part, piece = piece[:room], piece[room:]
            block.append(part)
            room -= len(part)
            if not room or len(block) == _MOST_PIECES:
                yield block
                block, room = [], _BLOCK
    if block:
        yield block


def _write_all(descriptor: int, block: Sequence[memoryview]) -> None:
    rest = list(block)
    while rest:
        written = os.writev(descriptor, rest)
        while rest and written >= len(rest[0]):
            written -= len(rest.pop(0))
        if rest:
            rest[0] = rest[0][written:]
