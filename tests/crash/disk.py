"""Record every change that a process makes to a folder; the process can be killed after any of them.

    with RecordedDisk(folder) as disk:
        ...                                # code that writes into the folder
    disk.changes                           # in order

    with RecordedDisk(folder, stop_at=7):  # the eighth change is the last; a write arrives in part
        ...

It replaces functions of Python's `os`, so the package runs its usual code. A write that is not recorded (by C
code, or by `open`) is detected when the folder is compared with the `states.Tree` of the changes.
"""

from __future__ import annotations

import os
import pickle
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_OS = {
    name: getattr(os, name)
    for name in (
        "open", "close", "write", "writev", "pwrite", "ftruncate", "fsync", "replace", "rename", "unlink",
        "remove", "mkdir", "rmdir", "link",
    )
}  # fmt: skip


@dataclass(frozen=True)
class Change:
    """One change.

    Attributes:
        kind: `create`, `write`, `truncate`, `fsync`, `rename`, `unlink`, `mkdir`, or `fsync names` of a
            folder.
        path: path of the file or folder relative to the recorded folder, which is `"."`.
        file: number of the file, which does not change if it is renamed.
        offset: start of a write; the new size for a truncation.
        data: the written bytes.
        target: the new name of a renaming.
    """

    kind: str
    path: str
    file: int = 0
    offset: int = 0
    data: bytes = b""
    target: str = ""

    @property
    def words(self) -> str:
        """Description of the change."""
        details = f" {len(self.data)} bytes at {self.offset}" if self.kind == "write" else ""
        return f"{self.kind} {self.path}{details}{' to ' * bool(self.target)}{self.target}"


class RecordedDisk:
    """Record the changes that this process makes in a folder during the `with` block.

    Args:
        folder: the folder.
        stop_at: number of the change after which SIGKILL ends this process; none by default.
        torn: share of the bytes that arrive if the last change is a write.
        log: a file outside the folder to which each change is written before it is made.
    """

    def __init__(
        self, folder: Path, *, stop_at: int | None = None, torn: float = 1.0, log: Path | None = None
    ) -> None:
        self.changes: list[Change] = []
        self._root = os.path.abspath(folder)
        self._stop_at, self._torn = stop_at, torn
        self._log = None if log is None else open(log, "ab", buffering=0)  # noqa: SIM115
        self._lock = threading.RLock()
        self._descriptors: dict[int, int] = {}
        self._files: dict[str, int] = {}
        self._made = 0
        self._folders: dict[int, str] = {}
        existing = [p for p in Path(folder).rglob("*") if p.is_file()] if Path(folder).exists() else []
        for name in sorted(str(p.relative_to(folder)) for p in existing):
            self._new(name)

    def __enter__(self) -> RecordedDisk:
        for name in _OS:
            recording: Callable[..., Any] = getattr(self, f"_{name}")
            setattr(os, name, recording)
        return self

    def __exit__(self, *error: object) -> None:
        for name, original in _OS.items():
            setattr(os, name, original)

    def _new(self, name: str) -> int:
        self._made += 1
        self._files[name] = self._made
        return self._made

    def _name(self, path: Any) -> str | None:
        """Return a path relative to the folder; None if it is not in the folder."""
        full = os.path.abspath(os.fspath(path))
        if full == self._root:
            return "."
        return os.path.relpath(full, self._root) if full.startswith(self._root + os.sep) else None

    def _make(self, change: Change, call: Callable[[], Any]) -> Any:
        """Make a change, and end the process if it is the last one."""
        last = len(self.changes) == self._stop_at
        self.changes.append(change)
        if self._log is not None:
            pickle.dump(change, self._log)
        if last and change.kind == "write":
            descriptor = next(d for d, f in self._descriptors.items() if f == change.file)
            _OS["write"](descriptor, change.data[: round(len(change.data) * self._torn)])
        else:
            result = call()
        if last:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    def _open(self, path: Any, flags: int, *more: Any, **named: Any) -> int:
        with self._lock:
            name = self._name(path) if not named else None
            if name is None:
                return int(_OS["open"](path, flags, *more, **named))
            if os.path.isdir(path):
                descriptor = int(_OS["open"](path, flags, *more))
                self._folders[descriptor] = name
                return descriptor
            if flags & os.O_CREAT and not os.path.lexists(path):
                descriptor = -1

                def make() -> None:
                    nonlocal descriptor
                    descriptor = int(_OS["open"](path, flags, *more))

                self._make(Change("create", name, self._new(name)), make)
            else:
                descriptor = int(_OS["open"](path, flags, *more))
                assert not flags & os.O_TRUNC
            self._descriptors[descriptor] = self._files[name]
            return descriptor

    def _close(self, descriptor: int) -> None:
        with self._lock:
            self._descriptors.pop(descriptor, None)
            self._folders.pop(descriptor, None)
            _OS["close"](descriptor)

    def _path_of(self, file: int) -> str:
        return next((n for n, f in self._files.items() if f == file), f"removed file {file}")

    def _written(self, descriptor: int, data: bytes, offset: int | None, call: Callable[[], int]) -> int:
        with self._lock:
            file = self._descriptors.get(descriptor)
            if not file:
                return call()
            if offset is None:
                appends = self._appends(descriptor)
                offset = os.fstat(descriptor).st_size if appends else os.lseek(descriptor, 0, os.SEEK_CUR)
            change = Change("write", self._path_of(file), file, offset, data)
            return int(self._make(change, call))

    @staticmethod
    def _appends(descriptor: int) -> bool:
        import fcntl

        return bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND)

    def _write(self, descriptor: int, data: Any) -> int:
        return self._written(descriptor, bytes(data), None, lambda: _OS["write"](descriptor, data))

    def _writev(self, descriptor: int, buffers: Any) -> int:
        data = b"".join(buffers)
        return self._written(descriptor, data, None, lambda: _OS["writev"](descriptor, buffers))

    def _pwrite(self, descriptor: int, data: Any, offset: int) -> int:
        return self._written(descriptor, bytes(data), offset, lambda: _OS["pwrite"](descriptor, data, offset))

    def _ftruncate(self, descriptor: int, size: int) -> None:
        with self._lock:
            file = self._descriptors.get(descriptor)
            if not file:
                return _OS["ftruncate"](descriptor, size)
            change = Change("truncate", self._path_of(file), file, size)
            self._make(change, lambda: _OS["ftruncate"](descriptor, size))

    def _fsync(self, descriptor: int) -> None:
        with self._lock:
            if descriptor in self._folders:
                change = Change("fsync names", self._folders[descriptor])
            elif file := self._descriptors.get(descriptor):
                change = Change("fsync", self._path_of(file), file)
            else:
                return _OS["fsync"](descriptor)
            self._make(change, lambda: _OS["fsync"](descriptor))

    def _replace(self, source: Any, target: Any, **named: Any) -> None:
        with self._lock:
            names = self._name(source), self._name(target)
            if names == (None, None):
                return _OS["replace"](source, target, **named)
            assert None not in names, "renamed into or out of the folder"
            file = self._files.get(names[0], 0)
            change = Change("rename", names[0], file, target=names[1])
            self._make(change, lambda: _OS["replace"](source, target, **named))
            self._files[names[1]] = self._files.pop(names[0])

    _rename = _replace

    def _unlink(self, path: Any, **named: Any) -> None:
        with self._lock:
            name = self._name(path) if not named else None
            if name is None or not os.path.lexists(path):
                return _OS["unlink"](path, **named)
            change = Change("unlink", name, self._files.get(name, 0))
            self._make(change, lambda: _OS["unlink"](path))
            self._files.pop(name, None)

    _remove = _unlink

    def _mkdir(self, path: Any, *more: Any, **named: Any) -> None:
        with self._lock:
            name = self._name(path)
            if name is None or os.path.lexists(path):
                return _OS["mkdir"](path, *more, **named)
            self._make(Change("mkdir", name), lambda: _OS["mkdir"](path, *more, **named))

    def _refused(self, *arguments: Any, **named: Any) -> None:
        raise AssertionError(f"a change that is not recorded: {arguments}")

    _rmdir = _link = _refused


def changes_of(log: Path) -> list[Change]:
    """Return the changes that a process has logged; the last one may be incomplete."""
    changes: list[Change] = []
    with open(log, "rb") as file:
        while True:
            try:
                changes.append(pickle.load(file))
            except EOFError:
                return changes
