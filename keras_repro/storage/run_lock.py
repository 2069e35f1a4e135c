"""One process at a time in a run folder. A lock dies with its process.

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> with RunLock(folder):
...     RunLock(folder)
Traceback (most recent call last):
keras_repro.errors.RunFolderError: run folder ... is in use by this process: wait for its run to end
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from keras_repro.errors import RunFolderError
from keras_repro.utils.closeable import Closeable

LOCK_NAME = "lock"

# A process's own locks never stand in its way, so those are kept here.
_held: set[str] = set()


class RunLock(Closeable):
    """Holds a run folder until it is closed.

    Args:
        folder: the run folder, which is there.

    Raises:
        RunFolderError: another process holds it, or this one does.
    """

    def __init__(self, folder: Path) -> None:
        self._name = os.path.realpath(folder)
        if self._name in _held:
            raise RunFolderError(f"run folder {folder} is in use by this process: wait for its run to end")
        path = folder / LOCK_NAME
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise RunFolderError(f"cannot lock run folder {folder}: {error.strerror}") from None
        try:
            # Of the process, not of the file: a worker that was forked does not go on holding it.
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            process = f"process {holder}" if holder.isdecimal() else "another process"
            raise RunFolderError(
                f"run folder {folder} is in use by {process}: wait for it to end, or choose another folder"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        _held.add(self._name)

    def close(self) -> None:
        """Lets go of the folder; a second call does nothing."""
        if self._descriptor >= 0:
            _held.discard(self._name)
            os.close(self._descriptor)
            self._descriptor = -1
