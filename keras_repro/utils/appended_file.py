"""Append pieces to a file, each of them whole or not at all.

>>> import tempfile
>>> with AppendedFile(Path(tempfile.mkdtemp(), "pieces")) as file:
...     file.append(b"one")
...     file.append(b"two")
>>> file.path.read_bytes()
b'onetwo'
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from keras_repro.errors import LedgerError
from keras_repro.utils.closeable import Closeable
from keras_repro.utils.text import system_reason


class AppendedFile(Closeable):
    """A file that is open for appending.

    Args:
        path: the file.
        size: the complete bytes of an existing file, after which it is cut off; None to create it.

    Raises:
        FileExistsError: the file is to be created, but exists.
        OSError: it cannot be opened or cut off.
    """

    def __init__(self, path: Path, *, size: int | None = None) -> None:
        flags = os.O_CREAT | os.O_EXCL if size is None else os.O_NOFOLLOW
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC | flags, 0o644)
        self._size = size or 0
        if os.fstat(self._descriptor).st_size != self._size:
            self._cut()

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return self._descriptor < 0

    def append(self, data: bytes) -> None:
        """Append a piece. If that fails or is interrupted, no part of it stays in the file.

        Raises:
            LedgerError: the disk is full or the file cannot be written; earlier pieces are kept.
        """
        rest, size = memoryview(data), self._size + len(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except BaseException as error:
            # After an incomplete piece, or one that Ctrl-C left uncounted, later ones would be unreadable.
            with contextlib.suppress(OSError):
                self._cut()
            if isinstance(error, OSError):
                raise LedgerError(f"cannot write {self.path}: {system_reason(error)}") from None
            raise
        self._size = size  # no call between the last write and the caller's count: Ctrl-C cannot come here

    def sync(self) -> None:
        """Wait until all pieces are on the disk; nothing to do if the file is closed."""
        if not self.closed:
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Close the file. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _cut(self) -> None:
        os.ftruncate(self._descriptor, self._size)
        os.fsync(self._descriptor)  # or a crash might mix the rest with the next piece
