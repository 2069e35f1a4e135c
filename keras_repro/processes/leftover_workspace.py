"""Copies for the processes of a diagnosis: without the files that a run has left, and with them.

    with LeftoverWorkspace("train.py", created, folder, exclude=folder) as leftover:
        leftover.for_process(1)     # as the first run found the folder
        leftover.for_process(2)     # as the second run found it, at the same path

A file that existed before and has changed is in both copies as it is now.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from keras_repro.processes.workspace import Workspace, WorkspaceCopies, in_copy
from keras_repro.storage.atomic_files import leads_out


class LeftoverWorkspace(WorkspaceCopies):
    """Workspaces of a diagnosis, if a run left files that the next run could read.

    Args:
        script: the script, None for a module.
        created: paths of the files that a run has made.
        folder: where the copies go; made and removed here.
        exclude: a folder that is not copied.

    Attributes:
        files: the files that the run has made, as the processes find them.

    Raises:
        LaunchError: there is too much to copy, or no room for it.
    """

    def __init__(self, script: str | None, created: Iterable[str], folder: Path, *, exclude: Path) -> None:
        super().__init__(script, folder, exclude=exclude)
        self._created = [Path(p) for p in created]
        self.files: frozenset[str] = frozenset()

    def for_process(self, number: int) -> Workspace:
        """Return the workspace of a process: for number 1 without the files of the run, else with them."""
        workspace = self.fresh()
        made = [copy for p in self._created if (copy := in_copy(p, workspace.copies)) is not None]
        self.files = frozenset(str(copy.resolve()) for copy in made)
        if number == 1:
            for root, copy in ((r, c) for r in workspace.roots for c in made if c.is_relative_to(r)):
                if not leads_out(copy.parent, root):
                    copy.unlink(missing_ok=True)
                    _remove_empty(copy.parent, workspace.roots)
        return workspace


def _remove_empty(folder: Path, roots: tuple[Path, ...]) -> None:
    """Remove empty folders upwards: the run has probably made them too."""
    while folder not in roots:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
