"""An earlier run in a folder: its files are removed one by one, by name, if they are provably ours.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "ledger.jsonl").write_text("accounts of the year")
    >>> EarlierRun(folder).check(overwrite=True)
    Traceback (most recent call last):
    keras_repro.errors.RunFolderError: run folder ... holds ledger.jsonl, which keras_repro did not write: ...

A folder holds a run of ours if it has a ledger that can be read, or the lock file of a process that was
killed before its ledger began. All other files stay, whatever the options are.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from keras_repro.errors import LedgerError, RunFolderError
from keras_repro.ledger.reader import LedgerReader
from keras_repro.storage.atomic_files import PART, files_in
from keras_repro.storage.run_folder import (
    DEFAULT_FOLDER,
    DIAGNOSIS_NAME,
    DIVERGENCE_NAME,
    IGNORE_NAME,
    IGNORE_TEXT,
    LEDGER_NAME,
    OUTPUT_NAME,
    PROCESSES_NAME,
    RUNS_NAME,
    SKETCHES_NAME,
    SNAPSHOTS_NAME,
    STATE_BEFORE_NAME,
    TAPS_NAME,
    TRACE_NAME,
    UNOBSERVED,
    folder_in_use_message,
    make_run_folder,
)
from keras_repro.storage.run_lock import LOCK_NAME, RunLock, Use, use_before

_PART = rf"({re.escape(PART)})?"
_LEDGER = re.escape(LEDGER_NAME)
_SKETCHES = re.escape(SKETCHES_NAME) + _PART
_SNAPSHOTS = r"(fit-\d+-(end|epoch-\d+)|resume-(end|epoch-\d+-step-\d+))\.h5" + _PART
_OF_SCRIPTS = "|".join(
    [
        *map(re.escape, (OUTPUT_NAME, TRACE_NAME, DIVERGENCE_NAME)),
        rf"(\w+-)?{re.escape(TAPS_NAME)}",
        re.escape(STATE_BEFORE_NAME) + _PART,
        rf"{UNOBSERVED}\d+",
    ]
)
# These stay as long as the folder: the next run replaces them.
_OF_FOLDERS = {LOCK_NAME, PROCESSES_NAME}


class EarlierRun:
    """The run that a folder holds.

    Args:
        folder: the folder, which may be missing.

    Attributes:
        folder: the folder.
        use: how the run was made; None if the folder holds no run that is provably ours.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.use = _use_in_ledger(folder)
        if self.use is None and (use := use_before(folder)) != "workflow":
            self.use = use

    def check(self, *, overwrite: bool, writes: Iterable[str] = ()) -> None:
        """Check that a new run can replace this one.

        Args:
            overwrite: whether a run may be replaced.
            writes: names of the files that the new run writes, besides those of every run.

        Raises:
            RunFolderError: there is a run, or a file of the same name that is not provably ours.
        """
        if not overwrite and os.path.lexists(self.folder / LEDGER_NAME):
            raise RunFolderError(folder_in_use_message(self.folder))
        paths = [self.folder / name for name in (LEDGER_NAME, SKETCHES_NAME, *writes)]
        snapshots = self.folder / SNAPSHOTS_NAME
        present = {*filter(os.path.lexists, paths), *files_in(snapshots, _SNAPSHOTS)}
        if os.path.islink(snapshots):
            present.add(snapshots)
        if foreign := sorted(present.difference(self._files())):
            names = ", ".join(str(path.relative_to(self.folder)) for path in foreign)
            raise RunFolderError(
                f"run folder {self.folder} holds {names}, which keras_repro did not write: "
                "choose another folder"
            )

    def remove(self) -> None:
        """Remove the files of the run, the ledger last. All other files stay, and the lock."""
        for folder in self._inner_folders():
            inner = EarlierRun(folder)
            inner.remove()
            inner.remove_folder()
        for path in self._files():
            path.unlink(missing_ok=True)

    def remove_folder(self) -> None:
        """Remove the folder after `remove`, if nothing of others is in it."""
        if os.path.islink(self.folder):
            return
        with contextlib.suppress(OSError):
            (self.folder / SNAPSHOTS_NAME).rmdir()
        left = set(os.listdir(self.folder))
        if (self.use is not None and left <= _OF_FOLDERS) or (left == {IGNORE_NAME} and self._is_default()):
            for path in files_in(self.folder, ".*"):
                path.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _files(self) -> Iterator[Path]:
        """Yield the files that are provably ours, the ledger last."""
        if self.use is None:
            return
        yield from files_in(self.folder / SNAPSHOTS_NAME, _SNAPSHOTS)
        yield from files_in(self.folder, _SKETCHES)
        if self.use == "launched":
            yield from files_in(self.folder, _OF_SCRIPTS)
        yield from files_in(self.folder, _LEDGER)

    def _inner_folders(self) -> Iterator[Path]:
        """Yield the folders of runs that a script has made in its run folder, and those of its diagnosis."""
        if self.use != "launched":
            return
        yield from _folders_in(self.folder, r"fit-\d+")
        diagnosis, runs = self.folder / DIAGNOSIS_NAME, self.folder / RUNS_NAME
        yield from _folders_in(diagnosis, r"\d+")
        for path, _, _ in () if os.path.islink(runs) else os.walk(runs, topdown=False):
            yield Path(path)
        yield from _folders_in(self.folder, DIAGNOSIS_NAME)

    def _is_default(self) -> bool:
        """Return whether this is the default folder of runs, with the file that `new_folder` has made."""
        ignore = self.folder / IGNORE_NAME
        return self.folder.name == DEFAULT_FOLDER and ignore.read_bytes() == IGNORE_TEXT.encode()


def lock_runs(folder: Path, names: Sequence[str], *, others: Iterable[str] = (), overwrite: bool) -> RunLock:
    """Lock the folder of a workflow, and remove the earlier runs in it that are provably ours.

    Args:
        folder: the folder, which is made if it is missing.
        names: the run folders that the workflow makes in it.
        others: further names of earlier runs.
        overwrite: whether earlier runs may be removed.

    Raises:
        RunFolderError: there are runs, and `overwrite` is false; one of them or the folder is in use; or
            there is something else at one of `names`.
    """
    make_run_folder(folder, overwrite=True)
    lock = RunLock(folder, "workflow")
    try:
        check_places(folder, names)
        for path in (folder / name for name in names):
            if EarlierRun(path).use is None and path.is_dir() and os.listdir(path):
                raise RunFolderError(f"{path} holds files that are not of a run: choose another folder")
        _remove_runs(folder, [folder / name for name in dict.fromkeys([*names, *others])], overwrite)
    except BaseException:
        lock.close()
        raise
    return lock


def check_places(folder: Path, names: Iterable[str]) -> None:
    """Check that the folder of a workflow has room for run folders with these names.

    Raises:
        RunFolderError: there is a link, a file, or a folder with a file in the place of one of ours.
    """
    for path in (folder / name for name in names):
        if os.path.islink(path):
            raise RunFolderError(f"run folder {path} is a link, which is not followed: choose another folder")
        if path.exists() and not path.is_dir():
            raise RunFolderError(f"run folder {path} is a file: choose another folder")
        EarlierRun(path).check(overwrite=True, writes=[OUTPUT_NAME])


def _remove_runs(folder: Path, runs: Iterable[Path], overwrite: bool) -> None:
    earlier = [run for path in runs if not os.path.islink(path) and (run := EarlierRun(path)).use is not None]
    if earlier and not overwrite:
        raise RunFolderError(
            f"{folder} holds runs already: choose another folder, or overwrite them with --force"
        )
    with contextlib.ExitStack() as locks:
        for run in earlier:
            locks.enter_context(RunLock(run.folder, "launched"))
        for run in earlier:
            run.remove()
            run.remove_folder()


def _use_in_ledger(folder: Path) -> Use | None:
    """Return how a run was made, from the header of its ledger; None without a readable ledger."""
    try:
        with LedgerReader(folder / LEDGER_NAME) as ledger:
            return "launched" if "r" in ledger.header["coverage"] else "recording"
    except LedgerError:
        return None


def _folders_in(folder: Path, pattern: str) -> list[Path]:
    """Return the folders in a folder whose whole name matches a regular expression."""
    if os.path.islink(folder) or not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_dir(follow_symlinks=False)]
    return [folder / name for name in sorted(names) if re.fullmatch(pattern, name)]
