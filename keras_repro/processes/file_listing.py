"""Files that a run leaves where the next run could read them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from keras_repro.provenance.module_lookup import script_file

_MOST_FILES = 20_000
# Folders of tools, whose files a script neither reads nor leaves.
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


def is_skipped(folder: str) -> bool:
    """Return whether a folder belongs to a tool or is an environment of Python, by any name."""
    marks = (os.path.join(folder, name) for name in ("pyvenv.cfg", "conda-meta"))
    return os.path.basename(folder) in SKIPPED or any(map(os.path.exists, marks))


@dataclass(frozen=True)
class FileListing:
    """The files below some folders.

    Attributes:
        files: size and modification time (ns) by absolute path.
    """

    files: dict[str, tuple[int, int]]

    @classmethod
    def of(cls, script: str | None, *, exclude: Path) -> FileListing:
        """List the files below the working folder and the script's folder.

        Args:
            script: the script, or None.
            exclude: a folder that is not listed.
        """
        roots = {Path.cwd()}
        if script is not None:
            roots.add(script_file(script).resolve().parent)
        return cls.below(roots, exclude=exclude)

    @classmethod
    def below(cls, roots: Iterable[Path], *, exclude: Path | None = None) -> FileListing:
        """List the files below folders, without those below `exclude`."""
        excluded = None if exclude is None else exclude.resolve()
        files: dict[str, tuple[int, int]] = {}
        for root in sorted(roots):
            for path, status in _walk(root, excluded):
                files[path] = (status.st_size, status.st_mtime_ns)
                if len(files) >= _MOST_FILES:
                    return cls(files)
        return cls(files)

    def changed_since(self, earlier: FileListing) -> list[str]:
        """Return the paths of new or changed files, relative to the working folder if they are below it."""
        cwd = Path.cwd()
        changed = [p for p, entry in self.files.items() if earlier.files.get(p) != entry]
        return [str(Path(p).relative_to(cwd)) if Path(p).is_relative_to(cwd) else p for p in changed]


def _walk(root: Path, excluded: Path | None) -> Iterator[tuple[str, os.stat_result]]:
    own_output = _own_output()
    for folder, names, files in os.walk(root):
        paths = ((n, os.path.join(folder, n)) for n in sorted(names))
        names[:] = [n for n, path in paths if not is_skipped(path) and Path(path).resolve() != excluded]
        for name in sorted(files):
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError):
                status = os.lstat(path)
                if (status.st_dev, status.st_ino) not in own_output:
                    yield path, status


def _own_output() -> set[tuple[int, int]]:
    """Return device and inode of the files to which this process itself prints."""
    files = set()
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            status = os.fstat(descriptor)
            files.add((status.st_dev, status.st_ino))
    return files
