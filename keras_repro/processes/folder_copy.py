"""Copy folders with their links, times and modes, and remove the copies."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

from keras_repro.processes.file_listing import is_skipped
from keras_repro.processes.interruption import SIGNALS


def copied_entries(folder: Path | str, skipped: set[Path]) -> Iterator[os.DirEntry[str]]:
    """Yield all that is copied below a folder, in the order of names; a folder before its entries."""
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except PermissionError:
        return  # the script cannot list it either
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if not is_skipped(entry.path) and Path(entry.path) not in skipped:
                yield entry
                yield from copied_entries(entry.path, skipped)
        elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
            yield entry


def copy_folder(
    source: Path, target: Path, *, own_root: Path | None = None, skipped: Iterable[Path] = ()
) -> None:
    """Copy a folder, always in the same order: some file systems list files in that order.

    Args:
        source: the folder.
        target: the copy, which does not exist yet.
        own_root: the user's folder if `source` is that; links are then changed so that none leads back
            into it.
        skipped: folders that are not copied.
    """
    target.mkdir(parents=True)
    folders = [(source, target)]
    for entry in copied_entries(source, set(skipped)):
        path, copy = Path(entry.path), target / Path(entry.path).relative_to(source)
        # A file that is removed meanwhile, or cannot be read, is missing for the script too.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if entry.is_dir(follow_symlinks=False):
                copy.mkdir()
                folders.append((path, copy))
            elif entry.is_symlink():
                copy.symlink_to(_link_target(path, own_root))
                shutil.copystat(path, copy, follow_symlinks=False)
            else:
                shutil.copy2(path, copy)
    for path, copy in reversed(folders):
        with contextlib.suppress(FileNotFoundError):
            shutil.copystat(path, copy)


def _link_target(path: Path, own_root: Path | None) -> str:
    """Return the target of a copied link: relative within the root, absolute outside of it."""
    text = os.readlink(path)
    if own_root is None:
        return text
    target = Path(os.path.normpath(path.parent / text))
    return os.path.relpath(target, path.parent) if target.is_relative_to(own_root) else str(target)


def remove_folder(folder: Path) -> None:
    """Remove a folder of copies, also if a script has made parts of it read-only."""
    if not os.path.lexists(folder):
        return
    if folder.is_symlink():  # a script has put it there
        return folder.unlink()
    for path, names, _ in os.walk(folder):
        for name in (".", *names):
            entry = os.path.join(path, name)
            if not os.path.islink(entry):
                with contextlib.suppress(OSError):
                    os.chmod(entry, stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def signals_blocked() -> Iterator[None]:
    """Delay the signals that interrupt a command until the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
