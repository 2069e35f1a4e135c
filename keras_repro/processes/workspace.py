"""Copies of the folders in which a script works, so that each run finds them as they were.

    with WorkspaceCopies("train.py", folder, exclude=folder) as copies:
        workspace = copies.fresh()  # always at the same path
        ...                         # a run in workspace.cwd
        workspace = copies.fresh()  # as before that run

The user's own files are only read. Files that tools make (`.git`, virtual environments, caches, run folders)
are not copied. Symbolic links stay links; links out of the folder become absolute.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

from keras_repro.errors import LaunchError
from keras_repro.processes.copy_survey import CopySurvey, size_text
from keras_repro.processes.folder_copy import copy_folder, remove_folder, signals_blocked
from keras_repro.provenance.module_lookup import script_file
from keras_repro.utils.source_line import SourceLine
from keras_repro.utils.text import system_reason

_SAME, _ELSEWHERE, _USED, _BEFORE = "here", "elsewhere/another-place", "used", "before"


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """The copy in which a run works.

    Attributes:
        cwd: its working folder.
        script: the script's path there, in the form that it was given; None for a module.
        copies: each copied folder of the user's, with its copy.
    """

    cwd: Path
    script: str | None
    copies: tuple[tuple[Path, Path], ...]

    @property
    def roots(self) -> tuple[Path, ...]:
        """The copied folders, in which a run may leave files."""
        return tuple(copy for _, copy in self.copies)

    def copy_of(self, file: str) -> str | None:
        """Return the copy of a file of the user's; None if it was not copied."""
        copy = in_copy(Path(os.path.realpath(file)), self.copies)
        return None if copy is None else str(copy)


class WorkspaceCopies:
    """Copies of the working folder and the script's folder, or of the project that they are in.

    Args:
        script: the script, None for a module.
        folder: where the copies go, numbered if it exists; made and removed here.
        exclude: a folder that is not copied.

    Attributes:
        roots: the user's folders that are copied.

    Raises:
        LaunchError: there is too much to copy, or no room for it.
    """

    def __init__(self, script: str | None, folder: Path, *, exclude: Path) -> None:
        self._folder = _unused(folder.parent.resolve() / folder.name)
        self._made = False
        self._cwd = Path.cwd()
        self._given = script
        self._script = None if script is None else _absolute(script)
        self._skipped = {exclude.resolve(), self._folder}
        survey = CopySurvey(self._skipped)
        roots: list[Path] = []
        for path in [self._cwd] + ([script_file(self._script).parent] if self._script is not None else []):
            if not any(path.is_relative_to(root) for root in roots):
                project = survey.project(path)
                roots = [*(r for r in roots if not r.is_relative_to(project)), project]
        self.roots = tuple(roots)
        self._names = _names(self.roots)
        self._bytes = sum(survey.sizes[r] for r in self.roots)

    def __enter__(self) -> WorkspaceCopies:
        try:
            self._folder.mkdir(parents=True)
            self._made = True
            free = shutil.disk_usage(self._folder).free
            if free < 3 * self._bytes + (1 << 20):
                raise LaunchError(
                    f"no room for three copies of {self._listed()} ({size_text(self._bytes)} each) in "
                    f"{self._folder}: {size_text(free)} are free; choose another folder with --run-dir, or "
                    "use --no-copy"
                )
            for root, name in zip(self.roots, self._names, strict=True):
                copy_folder(root, self._folder / _BEFORE / name, own_root=root, skipped=self._skipped)
        except OSError as error:
            self.remove()
            raise self._cannot_copy(error) from None
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def fresh(self, *, elsewhere: bool = False, slot: int = 0) -> Workspace:
        """Return a copy of the folders as they were before any run; it replaces the last one there.

        Args:
            elsewhere: whether its path differs from all others.
            slot: gives each of several copies that are used at a time its own path.

        Raises:
            LaunchError: it cannot be made.
        """
        folder = self._folder / (_ELSEWHERE if elsewhere else _SAME + (f"-{slot}" if slot else ""))
        workspace = self._workspace(folder, elsewhere)
        try:
            remove_folder(folder)
            for name, copy in zip(self._names, workspace.roots, strict=True):
                copy_folder(self._folder / _BEFORE / name, copy)
        except OSError as error:
            raise self._cannot_copy(error) from None
        return workspace

    def keep_used(self) -> None:
        """Set the copy of the last run aside, for `restore_used`."""
        remove_folder(self._folder / _USED)
        (self._folder / _SAME).rename(self._folder / _USED)

    def restore_used(self) -> None:
        """Move the copy that was set aside back to the path of all others."""
        remove_folder(self._folder / _SAME)
        (self._folder / _USED).rename(self._folder / _SAME)

    def latest(self) -> Workspace:
        """Return the copy at the path of all others, as the last run has left it."""
        return self._workspace(self._folder / _SAME, False)

    def original(self, path: str) -> str:
        """Return the user's own file of a file in a copy; the path itself if it is in none."""
        for folder, elsewhere in ((_ELSEWHERE, True), (_SAME, False)):
            for root, copy in self._workspace(self._folder / folder, elsewhere).copies:
                if Path(path).is_relative_to(copy):
                    return str(root / Path(path).relative_to(copy))
        return path

    def original_line(self, source: SourceLine | None) -> SourceLine | None:
        """Return a line of code in a copy as the same line of the user's own file."""
        return None if source is None else replace(source, file=self.original(source.file))

    def remove(self) -> None:
        """Remove all copies; Ctrl-C waits for it."""
        with signals_blocked():
            if self._made:
                remove_folder(self._folder)

    def _workspace(self, folder: Path, elsewhere: bool) -> Workspace:
        prefix = "moved-" if elsewhere else ""
        copies = tuple((r, folder / f"{prefix}{n}") for r, n in zip(self.roots, self._names, strict=True))
        cwd, script = in_copy(self._cwd, copies), self._given
        assert cwd is not None
        if script is not None and self._script is not None:
            copied = str(in_copy(self._script, copies))
            if os.path.isabs(script) or os.path.normpath(cwd / script) != copied:
                script = copied
        return Workspace(cwd=cwd, script=script, copies=copies)

    def _cannot_copy(self, error: OSError | shutil.Error) -> LaunchError:
        reason = f"{error.filename or ''}: {system_reason(error)}".removeprefix(": ")
        return LaunchError(f"cannot copy {self._listed()}: {reason}")

    def _listed(self) -> str:
        return " and ".join(map(str, self.roots))


def in_copy(path: Path, copies: Iterable[tuple[Path, Path]]) -> Path | None:
    """Return the copy of a file or folder; None if it was not copied."""
    return next((copy / path.relative_to(root) for root, copy in copies if path.is_relative_to(root)), None)


def _unused(folder: Path) -> Path:
    """Return a folder's path, numbered if there is something of the user's."""
    number, unused = 1, folder
    while os.path.lexists(unused):
        number += 1
        unused = folder.with_name(f"{folder.name}-{number}")
    return unused


def _absolute(script: str) -> Path:
    """Return the script's path with the links of its folder followed, as Python does."""
    path = Path(os.path.abspath(script))
    return path.parent.resolve() / path.name


def _names(roots: Iterable[Path]) -> list[str]:
    names: list[str] = []
    for root in roots:
        name = root.name or "root"
        names.append(name if name not in names else f"{name}-{len(names)}")
    return names
