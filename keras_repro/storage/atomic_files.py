"""Open files that are not trusted, and write files atomically.

All calls that change a file or folder go through `os`, here and in all code that writes to a run folder:
tests/crash kills a process after each of these calls.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from keras_repro.errors import LedgerError, ReproError
from keras_repro.utils.text import system_reason


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
        reason = "it is a link, which is not followed" if os.path.islink(path) else system_reason(failed)
        raise error(f"cannot open {path}: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise error(f"cannot read {path}: it is not a regular file")
    return io.BufferedReader(io.FileIO(descriptor), 1 << 20)


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
        OSError: the disk is full, or a file cannot be renamed.
    """
    temporary = path.with_name(f"{path.name}.part")
    temporary.unlink(missing_ok=True)  # left by a killed process
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
    """Make a durable folder if it does not exist."""
    if not path.is_dir():
        path.mkdir(exist_ok=True)
        sync(path.parent)
