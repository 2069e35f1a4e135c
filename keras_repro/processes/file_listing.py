"""Files that a run leaves behind where the next one could read them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

_MOST_FILES = 20_000
# Folders of tools: what is in them is no part of what a script reads or leaves.
SKIPPED = {
    ".git",
    "__pycache__",
    ".venv",
    "venv",
    "node_modules",
    ".keras_repro",
    ".ipynb_checkpoints",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
}


@dataclass(frozen=True)
class FileListing:
    """The files below the working folder and the script's folder, each with size and time of change."""

    files: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, script: str | None, *, exclude: Path) -> FileListing:
        """Lists the files as they are now.

        Args:
            script: the script whose folder is looked at beside the working folder, or None.
            exclude: a folder that is not looked into.
        """
        roots = {Path.cwd()}
        if script is not None:
            roots.add(Path(script).resolve().parent)
        return cls.below(roots, exclude=exclude)

    @classmethod
    def below(cls, roots: Iterable[Path], *, exclude: Path | None = None) -> FileListing:
        """Lists the files below folders as they are now."""
        out = None if exclude is None else exclude.resolve()
        files: dict[str, tuple[int, int]] = {}
        for root in sorted(roots):
            for path, status in _walk(root, out):
                files[path] = (status.st_size, status.st_mtime_ns)
                if len(files) >= _MOST_FILES:
                    return cls(files)
        return cls(files)

    def changed_since(self, earlier: FileListing) -> list[str]:
        """Paths of files that are new or changed, relative to the working folder where they are below it."""
        here = Path.cwd()
        changed = [p for p, seen in self.files.items() if earlier.files.get(p) != seen]
        return [str(Path(p).relative_to(here)) if Path(p).is_relative_to(here) else p for p in changed]


def _walk(root: Path, exclude: Path | None) -> Iterator[tuple[str, os.stat_result]]:
    ours = _own_output()
    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if n not in SKIPPED and Path(folder, n).resolve() != exclude)
        for name in sorted(files):
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path)
            except OSError:
                continue
            if (status.st_dev, status.st_ino) not in ours:
                yield path, status


def _own_output() -> set[tuple[int, int]]:
    """The files that this process itself prints to."""
    found = set()
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            found.add((status.st_dev, status.st_ino))
    return found
