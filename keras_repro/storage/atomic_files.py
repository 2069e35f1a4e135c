"""Open files that are not trusted, and write files atomically. No link is followed or replaced.

All calls that change a file or folder go through `os`, here and in all code that writes to a run folder:
tests/crash kills a process after each of these calls.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from keras_repro.errors import LedgerError, ReproError
from keras_repro.utils.text import system_reason

PART = ".part"  # the end of the name of a temporary file

_IS_LINK = "it is a link, which is not followed"


def open_regular_file(path: Path, *, what: str, error: type[ReproError] = LedgerError) -> io.BufferedReader:
    """Open a regular file for reading, never through a link.

    Args:
        path: the file.
        what: the kind of file, for the message if it is missing.
        error: the class of the error.

    Raises:
        ReproError: of class `error`: the file is missing, not a regular file, or cannot be opened.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise error(f"no {what} at {path}") from None
    except OSError as failed:
        reason = _IS_LINK if os.path.islink(path) else system_reason(failed)
        raise error(f"cannot open {path}: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise error(f"cannot read {path}: it is not a regular file")
    return io.BufferedReader(io.FileIO(descriptor), 1 << 20)


def open_to_write(path: Path) -> io.BufferedWriter:
    """Open a new file, or an old regular file without its content.

    Raises:
        OSError: there is something else, such as a link, or the file cannot be opened.
    """
    refuse_link(path)
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o644)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EEXIST, "it is not a regular file", str(path))
    os.ftruncate(descriptor, 0)
    return io.BufferedWriter(io.FileIO(descriptor, "w"))


def remove_file(path: Path) -> None:
    """Remove a file if it exists.

    Raises:
        OSError: there is something else, such as a link, or the file cannot be removed.
    """
    refuse_link(path)
    path.unlink(missing_ok=True)


def files_in(folder: Path, pattern: str) -> list[Path]:
    """Return the regular files in a folder whose whole name matches a regular expression, by name.

    There are none if the folder is missing or a link.
    """
    if os.path.islink(folder):
        return []
    try:
        with os.scandir(folder) as entries:
            files = sorted(e.name for e in entries if e.is_file(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in files if re.fullmatch(pattern, name)]


def leads_out(path: Path, folder: Path) -> bool:
    """Return whether a path below a folder contains a link below it, which may lead out of the folder."""
    parts = [p for p in (path, *path.parents) if p != folder and p.is_relative_to(folder)]
    return any(os.path.islink(part) for part in parts)


def refuse_link(path: Path) -> None:
    """Raise OSError if there is a link."""
    if os.path.islink(path):
        raise OSError(errno.ELOOP, _IS_LINK, str(path))


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield the path of a temporary file, which replaces `path` at the end of the block, once it is durable.

    If the block fails, `path` is unchanged and the temporary file is removed.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "result.txt")
    >>> with atomic_write(path) as temporary:
    ...     _ = temporary.write_text("whole")
    >>> path.read_text(), [p.name for p in path.parent.iterdir()]
    ('whole', ['result.txt'])

    Raises:
        OSError: the disk is full, a file cannot be renamed, or there is a link.
    """
    refuse_link(path)
    temporary = path.with_name(f"{path.name}{PART}")
    remove_file(temporary)  # left by a killed process
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)  # the name must be durable too


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Make a durable folder if it does not exist.

    Raises:
        OSError: it cannot be made, or there is a link.
    """
    refuse_link(path)
    if not path.is_dir():
        path.mkdir(exist_ok=True)
        sync(path.parent)
