"""Lock a folder for one process. A lock ends with its process.

>>> import tempfile
>>> folder = Path(tempfile.mkdtemp())
>>> with RunLock(folder):
...     RunLock(folder)
Traceback (most recent call last):
keras_repro.errors.RunFolderError: run folder ... is in use by this process: wait for its run to end

The file `lock` names the process and its use of the folder. It stays if the process is killed: if no ledger
had begun, it proves that the files in the folder are those of a run.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, cast

from keras_repro.errors import RunFolderError
from keras_repro.storage.atomic_files import open_regular_file, sync
from keras_repro.utils.closeable import Closeable
from keras_repro.utils.text import system_reason

LOCK_NAME = "lock"

# How a process uses a folder: it records a training, it runs a recorded script, or it starts several runs.
Use = Literal["recording", "launched", "workflow"]

_LINE = re.compile(rb"([0-9]+) keras_repro (recording|launched|workflow) *\n")
_LENGTH = 40  # of the line, so that one write replaces it


class _Line(NamedTuple):
    process: int
    use: Use


@dataclass(kw_only=True)
class _Held:
    """A lock of this process: how many objects share it, and the use of the folder before."""

    descriptor: int
    process: int
    use_before: Use | None
    holders: int = 1


# The system lets a process lock a file twice, so its own locks are listed here, by the folder's real path.
_held: dict[str, _Held] = {}


class RunLock(Closeable):
    """Lock a folder until `close`, which removes the lock file.

    Args:
        folder: the existing folder.
        use: what the folder is used for.
        shared: whether this process may have locked the folder already.

    Raises:
        RunFolderError: another process, or this one, has locked it.
    """

    def __init__(self, folder: Path, use: Use = "recording", *, shared: bool = False) -> None:
        self._name, self._is_open = os.path.realpath(folder), False
        self._path, self._use = folder / LOCK_NAME, use
        held = _held.get(self._name)
        if held is None:
            _held[self._name] = self._lock(folder)
        elif shared and held.process == os.getpid():
            held.holders += 1
        else:
            raise RunFolderError(f"run folder {folder} is in use by this process: wait for its run to end")
        self._is_open = True

    def close(self) -> None:
        """Unlock the folder. Idempotent."""
        if not self._is_open:
            return
        self._is_open, held = False, _held[self._name]
        held.holders -= 1
        if held.holders:
            return
        del _held[self._name]
        if held.process == os.getpid() and _line_in(held.descriptor) is not None:
            self._path.unlink(missing_ok=True)
        os.close(held.descriptor)

    def _lock(self, folder: Path) -> _Held:
        try:
            while True:
                descriptor, is_new = _open(self._path)
                # A lock of the process, not of the file: a forked worker does not keep it.
                try:
                    fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    holder = _line_in(descriptor)
                    os.close(descriptor)
                    raise RunFolderError(_in_use(folder, holder)) from None
                if _is_at(descriptor, self._path):
                    break
                os.close(descriptor)  # its last user has removed the file
            before = _line_in(descriptor)
            if is_new or before is not None:  # else it is a file of the user's, which is only locked
                line = f"{os.getpid()} keras_repro {self._use}".ljust(_LENGTH - 1)
                os.pwrite(descriptor, f"{line}\n".encode(), 0)
            if is_new:  # on the disk before the first file that it speaks for
                os.fsync(descriptor)
                sync(folder)
        except OSError as error:
            raise RunFolderError(f"cannot lock run folder {folder}: {system_reason(error)}") from None
        use_before = None if before is None else before.use
        return _Held(descriptor=descriptor, process=os.getpid(), use_before=use_before)


def use_before(folder: Path) -> Use | None:
    """Return what a folder was used for, before this process locked it; None without a lock file of ours."""
    held = _held.get(os.path.realpath(folder))
    if held is not None:
        return held.use_before  # opening and closing the file again would release the lock
    try:
        with open_regular_file(folder / LOCK_NAME, what="lock", error=RunFolderError) as file:
            line = _line_in(file.fileno())
    except RunFolderError:
        return None
    return None if line is None else line.use


def _open(path: Path) -> tuple[int, bool]:
    """Open a lock file; return its descriptor, and whether it is new."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    while True:
        try:
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644), True
        except FileExistsError:
            pass
        try:
            return os.open(path, flags), False
        except FileNotFoundError:
            pass  # removed meanwhile


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether the open file is still the file at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _line_in(descriptor: int) -> _Line | None:
    match = _LINE.fullmatch(os.pread(descriptor, _LENGTH + 1, 0))
    return None if match is None else _Line(int(match[1]), cast("Use", match[2].decode()))


def _in_use(folder: Path, line: _Line | None) -> str:
    process = "another process" if line is None else f"process {line.process}"
    return f"run folder {folder} is in use by {process}: wait for it to end, or choose another folder"
