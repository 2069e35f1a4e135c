"""Lock a run folder for one process. A lock ends with its process.

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
from keras_repro.utils.text import system_reason

LOCK_NAME = "lock"

# The system lets a process lock a file twice, so its own locks are listed here.
_locked: set[str] = set()


class RunLock(Closeable):
    """Lock a run folder until `close`.

    Args:
        folder: the existing run folder.

    Raises:
        RunFolderError: another process, or this one, has locked it.
    """

    def __init__(self, folder: Path) -> None:
        self._name = os.path.realpath(folder)
        if self._name in _locked:
            raise RunFolderError(f"run folder {folder} is in use by this process: wait for its run to end")
        path = folder / LOCK_NAME
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise RunFolderError(f"cannot lock run folder {folder}: {system_reason(error)}") from None
        try:
            # A lock of the process, not of the file: a forked worker does not keep it.
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
        _locked.add(self._name)

    def close(self) -> None:
        """Unlock the folder. Idempotent."""
        if self._descriptor >= 0:
            _locked.discard(self._name)
            os.close(self._descriptor)
            self._descriptor = -1
