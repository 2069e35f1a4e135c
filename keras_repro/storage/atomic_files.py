"""Files that others may have written are opened as plain files; files of ours appear whole or not at all.

What changes a file or a folder is called through `os`, here and in all of `record`: tests/crash stops a
process behind each of these calls.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from keras_repro.errors import LedgerError, ReproError


def open_regular_file(path: Path, *, what: str, error: type[ReproError] = LedgerError) -> io.BufferedReader:
    """Opens a regular file for reading, never through a link.

    Args:
        path: the file.
        what: what it should be, for the message where there is none.
        error: the class of what is raised.

    Raises:
        ReproError: of class `error`: it is not there, is no regular file, or cannot be opened.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        raise error(f"no {what} at {path}") from None
    except OSError as failed:
        reason = "it is a link, which is not followed" if os.path.islink(path) else failed.strerror
        raise error(f"cannot open {path}: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise error(f"cannot read {path}: it is no file")
    return io.BufferedReader(io.FileIO(descriptor), 1 << 20)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Gives the path of a temporary file beside `path`, which takes its place once it is closed and durable.

    Where the block fails, `path` is as it was, and the temporary file is gone.

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
    temporary.unlink(missing_ok=True)  # of a process that was killed
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)  # the name too has to last


def sync(path: Path) -> None:
    """Waits until the disk has a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Makes a folder that lasts, where it is not there."""
    if not path.is_dir():
        path.mkdir(exist_ok=True)
        sync(path.parent)
