"""Copies of the folders that a script works in: as before any run, and beside what a run has left there.

    with LeftoverWorkspace("train.py", created, folder, exclude=folder) as left:
        left.place(1)               # where a process finds what the first run found
        left.place(2)               # where it finds what the second did, at the same path

The user's own files are only read. A file that was there and has changed is in both copies as it is now.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from keras_repro.processes.workspace import Workspace, WorkspaceCopies


class LeftoverWorkspace:
    """Where the processes of a diagnosis work, if a run left files that the next could read.

    Args:
        script: the script, None for a module.
        created: paths of the files that a run has made.
        folder: where the copies go; made and taken away here.
        exclude: a folder that is not copied.

    Attributes:
        files: the files that a run has made, as the processes find them.

    Raises:
        LaunchError: there is too much to copy, or no room for it.
    """

    def __init__(self, script: str | None, created: Iterable[str], folder: Path, *, exclude: Path) -> None:
        self._copies = WorkspaceCopies(script, folder, exclude=exclude)
        self._created = [Path(p) for p in created]
        self._place: Workspace | None = None
        self.files: frozenset[str] = frozenset()

    def __enter__(self) -> LeftoverWorkspace:
        self._copies.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._copies.__exit__(kind, error, trace)

    def place(self, number: int) -> Workspace:
        """Where a process works: the first of them without what a run has left, all others with it."""
        place = self._place = self._copies.fresh()
        there = [(c, self._copy_of(c)) for c in self._created]
        self.files = frozenset(str(copy.resolve()) for _, copy in there if copy is not None)
        if number == 1:
            for _, copy in there:
                if copy is not None:
                    copy.unlink(missing_ok=True)
                    self._remove_empty(copy.parent)
        return place

    def own(self, source: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """A line of a copy as a line of the user's own file."""
        if source is None or self._place is None:
            return source
        file = Path(source["file"])
        for root, copy in zip(self._copies.roots, self._place.roots, strict=True):
            for base in (copy, copy.resolve()):
                if file.is_relative_to(base):
                    return {**source, "file": str(root / file.relative_to(base))}
        return source

    def _copy_of(self, path: Path) -> Path | None:
        assert self._place is not None
        for root, copy in zip(self._copies.roots, self._place.roots, strict=True):
            if path.is_relative_to(root):
                return copy / path.relative_to(root)
        return None

    def _remove_empty(self, folder: Path) -> None:
        """A folder that holds nothing else was made by the run too, as far as can be told."""
        assert self._place is not None
        while folder not in self._place.roots:
            with contextlib.suppress(OSError):
                folder.rmdir()
                folder = folder.parent
                continue
            return
