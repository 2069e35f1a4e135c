"""Record which files a script opens: its inputs for the ledger, and for a diagnosis the lines that read them.

    files = InputFiles()
    files.on_audit_event("open", ("data/x.npy", "rb", 0))
    files.paths()                                     # the absolute path of data/x.npy

Files that are opened by C++ alone (by a `TFRecordDataset`, for example) are not recorded.
"""

from __future__ import annotations

import os
import stat
import sys
import threading
from collections.abc import Callable
from typing import Any

import xxhash

from keras_repro.source_code.call_site import user_call_site
from keras_repro.source_code.ownership import is_users_file
from keras_repro.storage.trace_file import FileReadEvent
from keras_repro.training.backends.active import backend
from keras_repro.training.backends.hooks import Call, Steps, add_hook
from keras_repro.training.backends.import_hooks import when_imported
from keras_repro.utils.source_line import SourceLine

_WRITES = os.O_WRONLY | os.O_RDWR
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/", "/usr/")
# What an installation of Python has in its folder.
_OF_PREFIX = ("bin", "conda-meta", "etc", "include", "lib", "lib64", "libexec", "share", "ssl")
_CACHES = frozenset({".cache", "__pycache__"})
_BLOCK = 1 << 20  # bytes
_MAX_BLOCKS = 64
_MAX_FILES = 2000


class FileAccess:
    """Receive each file that is opened, from Python's audit events and from h5py."""

    def on_audit_event(self, event: str, args: tuple[Any, ...], frame: Any = None) -> None:
        """Called for each audit event of Python.

        Args:
            event: its name.
            args: of `"open"`: path, mode (None for `os.open`) and flags.
            frame: the frame that raises it, if the line is to be reported.
        """
        if event != "open" or not isinstance(args[0], str | bytes):
            return
        path, mode, flags = args
        writes = any(c in mode for c in "wax+") if isinstance(mode, str) else bool((flags or 0) & _WRITES)
        self._on_open(os.fsdecode(path), frame, writes=writes)

    def install(self) -> None:
        """Also receive the files that h5py opens, which raise no audit event."""
        when_imported("h5py._hl.files", self.watch_h5py)

    def watch_h5py(self, module: Any) -> None:
        """Hook the constructor of `h5py.File` in its module, `h5py._hl.files`."""

        def construct(call: Call) -> None:
            name, mode = call.arguments.get("name"), call.arguments.get("mode", "r")
            if isinstance(name, str | bytes | os.PathLike):
                self._on_open(os.fsdecode(name), call.caller, writes=mode not in (None, "r"))

        add_hook(module.File, "__init__", construct)

    def _on_open(self, path: str, frame: Any, *, writes: bool) -> None:
        raise NotImplementedError


class InputFiles(FileAccess):
    """Collect the files that a script reads, for its ledger.

    Files of the Python installation are excluded: the versions of their packages are recorded.

    Args:
        exclude: folders whose files do not count.
    """

    def __init__(self, *exclude: str | os.PathLike[str]) -> None:
        self._read: dict[str, None] = {}
        self._written: set[str] = set()
        folders = {os.path.join(os.path.realpath(f), "") for f in exclude}
        self._excluded = (*_SYSTEM, *folders, *_installation())

    def install(self) -> None:
        """Also receive what h5py opens, and the files of a folder that Keras makes a dataset of."""
        super().install()
        when_imported(backend.trainer.DATASET_UTILS_MODULE, self._watch_folders)

    def paths(self) -> list[str]:
        """Return the files that were read and not written, with the script's imported modules."""
        modules = [getattr(m, "__file__", None) for m in list(sys.modules.values())]
        for path in modules:
            if isinstance(path, str) and path.endswith(".py"):
                self._on_open(path, None, writes=False)
        # A copy: to decide about a file may read others.
        return [p for p in list(self._read) if p not in self._written and self._counts(p)]

    def _on_open(self, path: str, frame: Any, *, writes: bool) -> None:
        if path.endswith(".pyc"):
            return
        try:
            absolute = os.path.abspath(path)
        except OSError:  # the working folder was deleted
            return
        if writes:
            self._written.add(absolute)
        else:
            self._read[absolute] = None

    def _counts(self, path: str) -> bool:
        if not is_users_file(
            path
        ):  # first: a link takes far longer to follow, and most files are a library's
            return False
        real = os.path.realpath(path)
        if real.startswith(self._excluded) or real.endswith("/keras.json"):
            return False
        return _CACHES.isdisjoint(real.split(os.sep)) and is_users_file(real)

    def _watch_folders(self, module: Any) -> None:
        def index_directory(call: Call) -> Steps:
            yield
            paths, *_ = call.result
            for path in paths:
                self._on_open(os.fspath(path), None, writes=False)

        add_hook(module, "index_directory", index_directory)


class FileReads(FileAccess):
    """Report which line of the user's code reads which file, with a digest of its content.

    For a diagnosis: a run may read what an earlier run wrote. Files that this process wrote itself are
    excluded.

    Args:
        emit: receives an event for each pair of file and line.
    """

    def __init__(self, emit: Callable[[FileReadEvent], None]) -> None:
        self._emit = emit
        self._written: set[str] = set()
        self._reported: set[tuple[str, SourceLine]] = set()
        self._busy = threading.local()
        self._stopped = False
        self._excluded = (*_SYSTEM, *_installation())

    def stop(self) -> None:
        """Report nothing more; an audit hook cannot be removed."""
        self._stopped = True

    def _on_open(self, path: str, frame: Any, *, writes: bool) -> None:
        if self._stopped or getattr(self._busy, "here", False) or path.endswith((".py", ".pyc")):
            return
        self._busy.here = True
        try:
            real = os.path.realpath(path)
            if writes:
                self._written.add(real)
            elif not real.startswith(self._excluded) and real not in self._written and is_users_file(real):
                self._report(real, frame)
        except (OSError, ValueError):  # the working folder was deleted
            return
        finally:
            self._busy.here = False

    def _report(self, path: str, frame: Any) -> None:
        line = user_call_site(frame)
        if line is None or (path, line) in self._reported or len(self._reported) >= _MAX_FILES:
            return
        self._reported.add((path, line))
        digest = _digest(path)
        if digest is not None:
            self._emit(FileReadEvent(path=path, source=line, digest=digest))


def _installation() -> tuple[str, ...]:
    """Return the folders of the Python installation itself; a project may be in the same folder."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    return tuple(os.path.join(os.path.realpath(p), name, "") for p in prefixes for name in _OF_PREFIX)


def _digest(path: str) -> str | None:
    """Return a digest of a file's bytes, of a large file of blocks all over it; None if it is no file."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        blocks = -(-status.st_size // _BLOCK)
        step = max(1, blocks / _MAX_BLOCKS)
        hasher = xxhash.xxh3_64(str(status.st_size).encode())
        with open(path, "rb") as file:
            for number in range(min(blocks, _MAX_BLOCKS)):
                file.seek(int(number * step) * _BLOCK)
                hasher.update(file.read(_BLOCK))
        return hasher.hexdigest()
    except OSError:
        return None
