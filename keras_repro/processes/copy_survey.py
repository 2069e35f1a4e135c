"""Measure folders before they are copied for each run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_repro.errors import LaunchError
from keras_repro.processes.folder_copy import copied_entries

MOST_BYTES = 10**9
MOST_FILES = 50_000


class CopySurvey:
    """Choose the folders to copy, and measure them.

    Args:
        skipped: folders that are not copied.

    Attributes:
        sizes: bytes of each chosen folder.
    """

    def __init__(self, skipped: Iterable[Path]) -> None:
        self.sizes: dict[Path, int] = {}
        self._skipped = set(skipped)

    def project(self, path: Path) -> Path:
        """Return the folder to copy for a working folder: its whole git repository, if not too large.

        Raises:
            LaunchError: the working folder itself is too large.
        """
        top = next((p for p in (path, *path.parents) if (p / ".git").exists()), path)
        if top != path and top not in (Path.home(), Path(top.anchor)):
            with contextlib.suppress(LaunchError):
                return self._measured(top)
        return self._measured(path)

    def _measured(self, root: Path) -> Path:
        if root in self.sizes:
            return root
        files = total = 0
        parts: dict[str, int] = {}
        for entry in copied_entries(root, self._skipped):
            if entry.is_dir(follow_symlinks=False):
                continue
            size = entry.stat(follow_symlinks=False).st_size
            files, total = files + 1, total + size
            part = Path(entry.path).relative_to(root).parts[0]
            parts[part] = parts.get(part, 0) + size
            if total > MOST_BYTES or files > MOST_FILES:
                limit = f"{size_text(MOST_BYTES)} or {MOST_FILES} files"
                name, size = max(parts.items(), key=lambda item: item[1])
                raise LaunchError(
                    f"{root} is too large to be copied for each run (more than {limit}; {name} holds "
                    f"{size_text(size)} of the files counted so far): change to the project's own folder, "
                    "or use --no-copy"
                )
        self.sizes[root] = total
        return root


def size_text(count: int) -> str:
    """Return a number of bytes in words: `"20 KB"`."""
    number: Any = float(count)
    for unit in ("B", "KB", "MB"):
        if number < 1000:
            return f"{number:.0f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
