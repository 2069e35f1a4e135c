"""Copies of the folders that a script works in, so that each run finds them as they were.

    with Copies(task, folder) as copies:
        place = copies.fresh()      # always at the same path
        ...                         # a run in place.cwd
        place = copies.fresh()      # as before that run

The user's own files are only read. What tools make (`.git`, virtual environments, caches, run folders) is
left out; symbolic links stay links, those that lead out of the folder by absolute paths.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from keras_repro.errors import LaunchError
from keras_repro.processes.file_listing import SKIPPED

MOST_BYTES = 10**9
MOST_FILES = 50_000

_SAME, _ELSEWHERE, _USED, _BEFORE = "here", "elsewhere/another-place", "used", "before"


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """Where a run works.

    Attributes:
        cwd: its working folder.
        script: the script there, as it is given to it; None for a module.
        roots: the folders that were copied, in which it may leave files.
    """

    cwd: Path
    script: str | None
    roots: tuple[Path, ...]


class WorkspaceCopies:
    """Copies of the working folder and the script's, or of the project that they are in.

    Args:
        script: the script, None for a module.
        folder: where the copies go, or beside it where it is there already; made and taken away here.
        exclude: a folder that is not copied.

    Raises:
        LaunchError: there is too much to copy, or no room for it.
    """

    def __init__(self, script: str | None, folder: Path, *, exclude: Path) -> None:
        self._folder = _not_there_yet(folder.resolve())
        self._made = False
        self._cwd = Path.cwd()
        self._given = script
        self._script = None if script is None else _absolute(script)
        skipped = {exclude.resolve(), self._folder}
        wanted = [self._cwd] + ([self._script.parent] if self._script is not None else [])
        survey = _Survey(skipped)
        roots: list[Path] = []
        for path in wanted:
            if not any(path.is_relative_to(root) for root in roots):
                chosen = survey.project(path)
                roots = [*(r for r in roots if not r.is_relative_to(chosen)), chosen]
        self.roots = tuple(roots)
        self._names = _names(self.roots)
        self._skipped = skipped
        self.files = sum(survey.known[r].files for r in self.roots)
        self.bytes = sum(survey.known[r].bytes for r in self.roots)

    def __enter__(self) -> WorkspaceCopies:
        try:
            self._folder.mkdir(parents=True)
            self._made = True
            free = shutil.disk_usage(self._folder).free
            if free < 3 * self.bytes + (1 << 20):
                raise LaunchError(
                    f"no room for three copies of {_listed(self.roots)} ({_size(self.bytes)} each) in "
                    f"{self._folder}: {_size(free)} are free; choose another place with --run-dir, or "
                    "--no-copy"
                )
            for root, name in zip(self.roots, self._names, strict=True):
                _copy(root, self._folder / _BEFORE / name, root=root, skipped=self._skipped)
        except OSError as error:
            self.remove()
            raise LaunchError(f"cannot copy {_listed(self.roots)}: {_said(error)}") from None
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def fresh(self, *, elsewhere: bool = False, beside: int = 0) -> Workspace:
        """A copy as the folders were before any run, in place of the one that is there.

        Args:
            elsewhere: whether it has another path than all others.
            beside: gives each of several that are needed at one time a path of its own.

        Raises:
            LaunchError: it cannot be made.
        """
        where = self._folder / (_ELSEWHERE if elsewhere else _SAME + (f"-{beside}" if beside else ""))
        try:
            _remove(where)
            for name in self._names:
                _copy(self._folder / _BEFORE / name, where / self._named(name, elsewhere))
        except OSError as error:
            raise LaunchError(f"cannot copy {_listed(self.roots)}: {_said(error)}") from None
        return self._place(where, elsewhere)

    def keep_used(self) -> None:
        """Puts the copy that was used last aside, for `used`."""
        _remove(self._folder / _USED)
        (self._folder / _SAME).rename(self._folder / _USED)

    def used(self) -> Workspace:
        """The copy that was put aside, again at the path of all others; it can be had once."""
        _remove(self._folder / _SAME)
        (self._folder / _USED).rename(self._folder / _SAME)
        return self.left()

    def left(self) -> Workspace:
        """The copy at the path of all others, as the last run in it has left it."""
        return self._place(self._folder / _SAME, False)

    def original(self, path: str) -> str:
        """The user's own file that a file in a copy is one of; the path itself where it is in none."""
        for where, elsewhere in ((_ELSEWHERE, True), (_SAME, False)):
            for root, name in zip(self.roots, self._names, strict=True):
                copy = self._folder / where / self._named(name, elsewhere)
                if Path(path).is_relative_to(copy):
                    return str(root / Path(path).relative_to(copy))
        return path

    def remove(self) -> None:
        """Takes all copies away; Ctrl-C waits for it."""
        with _undisturbed():
            if self._made:
                _remove(self._folder)

    def _place(self, where: Path, elsewhere: bool) -> Workspace:
        roots = [where / self._named(name, elsewhere) for name in self._names]

        def inside(path: Path) -> Path:
            for root, copy in zip(self.roots, roots, strict=True):
                if path.is_relative_to(root):
                    return copy / path.relative_to(root)
            raise AssertionError(path)

        cwd, script = inside(self._cwd), self._given
        if script is not None and self._script is not None:
            there = inside(self._script)
            same = not os.path.isabs(script) and os.path.normpath(cwd / script) == str(there)
            script = script if same else str(there)
        return Workspace(cwd=cwd, script=script, roots=tuple(roots))

    @staticmethod
    def _named(name: str, elsewhere: bool) -> str:
        return f"moved-{name}" if elsewhere else name


@dataclass(frozen=True)
class _Measure:
    files: int
    bytes: int


class _Survey:
    """Measures folders before they are copied."""

    def __init__(self, skipped: set[Path]) -> None:
        self.known: dict[Path, _Measure] = {}
        self._skipped = skipped

    def project(self, path: Path) -> Path:
        """The folder to copy for one that is worked in: the whole of its git repository, if not too large.

        Raises:
            LaunchError: the folder itself is too large.
        """
        top = next((p for p in (path, *path.parents) if (p / ".git").exists()), path)
        if top != path and top not in (Path.home(), Path(top.anchor)):
            with contextlib.suppress(LaunchError):
                return self._measured(top)
        return self._measured(path)

    def _measured(self, root: Path) -> Path:
        if root in self.known:
            return root
        files = total = 0
        largest: dict[str, int] = {}
        for entry in _walk(root, self._skipped):
            if entry.is_dir(follow_symlinks=False):
                continue
            size = entry.stat(follow_symlinks=False).st_size
            files, total = files + 1, total + size
            part = Path(entry.path).relative_to(root).parts[0]
            largest[part] = largest.get(part, 0) + size
            if total > MOST_BYTES or files > MOST_FILES:
                most = f"{_size(MOST_BYTES)} or {MOST_FILES} files"
                name, held = max(largest.items(), key=lambda item: item[1])
                raise LaunchError(
                    f"{root} is too large to be copied for each run (more than {most}; {name} holds "
                    f"{_size(held)} of what was counted): go to the project's own folder, or use --no-copy"
                )
        self.known[root] = _Measure(files, total)
        return root


def _walk(folder: Path | str, skipped: set[Path]) -> Iterator[os.DirEntry[str]]:
    """All that is to be copied below a folder, in the order of names; a folder before what is in it."""
    try:
        entries = sorted(os.scandir(folder), key=lambda e: e.name)
    except PermissionError:
        return  # the script cannot look into it either
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if _is_left_out(entry) or Path(entry.path) in skipped:
                continue
            yield entry
            yield from _walk(entry.path, skipped)
        elif entry.is_symlink() or entry.is_file(follow_symlinks=False):
            yield entry


def _is_left_out(entry: os.DirEntry[str]) -> bool:
    return entry.name in SKIPPED or os.path.exists(os.path.join(entry.path, "pyvenv.cfg"))


def _copy(source: Path, target: Path, *, root: Path | None = None, skipped: Iterable[Path] = ()) -> None:
    """Copies a folder with its times and modes, always in the same order: some file systems list by it.

    Args:
        source: the folder.
        target: where it goes; must not be there.
        root: the user's folder, where it is that: links are changed so that none leads back into it.
        skipped: folders that are left out.
    """
    target.mkdir(parents=True)
    folders = [(source, target)]
    for entry in _walk(source, set(skipped)):
        path, copy = Path(entry.path), target / Path(entry.path).relative_to(source)
        # What the user takes away meanwhile, or nobody may read, is not there for the script either.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if entry.is_dir(follow_symlinks=False):
                copy.mkdir()
                folders.append((path, copy))
            elif entry.is_symlink():
                copy.symlink_to(_link(path, root))
                shutil.copystat(path, copy, follow_symlinks=False)
            else:
                shutil.copy2(path, copy)
    for path, copy in reversed(folders):
        with contextlib.suppress(FileNotFoundError):
            shutil.copystat(path, copy)


def _link(path: Path, root: Path | None) -> str:
    """Where a link in a copy leads: inside of the root by a relative path, out of it by an absolute one."""
    text = os.readlink(path)
    if root is None:
        return text
    aim = Path(os.path.normpath(path.parent / text))
    return os.path.relpath(aim, path.parent) if aim.is_relative_to(root) else str(aim)


def _remove(folder: Path) -> None:
    """Takes a folder of ours away, also where a script has forbidden writing to it."""
    if not os.path.lexists(folder):
        return
    for path, names, _ in os.walk(folder):
        for name in (".", *names):
            within = os.path.join(path, name)
            if not os.path.islink(within):
                with contextlib.suppress(OSError):
                    os.chmod(within, stat.S_IRWXU)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals that end the process wait until the block is over."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _not_there_yet(folder: Path) -> Path:
    """A folder's path, with a number behind it where there is something of the user's."""
    number, free = 1, folder
    while os.path.lexists(free):
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def _absolute(script: str) -> Path:
    """The script's path, with links in its folder followed: that is how Python gets to it."""
    path = Path(os.path.abspath(script))
    return path.parent.resolve() / path.name


def _names(roots: Iterable[Path]) -> list[str]:
    found: list[str] = []
    for root in roots:
        name = root.name or "root"
        found.append(name if name not in found else f"{name}-{len(found)}")
    return found


def _listed(roots: Iterable[Path]) -> str:
    return " and ".join(map(str, roots))


def _size(count: int) -> str:
    number: Any = float(count)
    for unit in ("B", "KB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"


def _said(error: OSError | shutil.Error) -> str:
    return f"{error.filename or ''}: {error.strerror or error}".removeprefix(": ")
