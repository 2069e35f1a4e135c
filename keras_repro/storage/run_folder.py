"""Run folders: made once, never overwritten unasked, and by default all in one place that git ignores."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from keras_repro.errors import RunFolderError

LEDGER_NAME = "ledger.jsonl"
SNAPSHOTS_NAME = "snapshots"
DEFAULT_FOLDER = ".keras_repro"

_redirection: list[tuple[Path, Path]] = []


def redirect_runs(folder: Path) -> None:
    """Makes the runs that this process records go below `folder`, where no other process looks for its own.

    What is below the working folder keeps its path from there.
    """
    _redirection[:] = [(folder, Path.cwd())]


def redirected(run_dir: str | os.PathLike[str]) -> Path:
    """Where `redirect_runs` puts a run folder; the folder itself where it was not called."""
    path = Path(run_dir)
    if not _redirection:
        return path
    (below, start), absolute = _redirection[0], Path(os.path.abspath(path))
    if absolute.is_relative_to(below):
        return path
    kept = absolute.relative_to(start if absolute.is_relative_to(start) else absolute.anchor)
    return below / kept


def make_run_folder(run_dir: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Makes a run folder, or takes one that holds no ledger yet.

    Raises:
        RunFolderError: it holds a ledger and `overwrite` is false, or it cannot be made.
    """
    folder = Path(run_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise RunFolderError(f"run folder {folder} is a file: choose another name") from None
    except OSError as error:
        raise RunFolderError(f"cannot make run folder {folder}: {error.strerror}") from None
    if not overwrite and os.path.lexists(folder / LEDGER_NAME):
        raise RunFolderError(folder_in_use_message(folder))
    return folder


def remove_runs(folder: Path, runs: Iterable[Path], *, overwrite: bool) -> None:
    """Remove earlier run folders from the folder of a workflow.

    Raises:
        RunFolderError: there are some, and `overwrite` is false.
    """
    for run in runs:
        if not overwrite:
            raise RunFolderError(
                f"{folder} holds runs already: choose another folder, or overwrite them with --force"
            )
        shutil.rmtree(run)


def new_folder(name: str, *, base: Path = Path(DEFAULT_FOLDER)) -> Path:
    """Makes a new folder `name-1`, `name-2`, ... in the one place where runs go by default.

    Raises:
        RunFolderError: it cannot be made.
    """
    try:
        base = _made(base)
        number = 1
        while True:
            folder = base / f"{name}-{number}"
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
            number += 1
    except OSError as error:
        raise RunFolderError(f"cannot make a run folder in {base}: {error.strerror}") from None


def named_folder(name: str, *, base: Path = Path(DEFAULT_FOLDER)) -> Path:
    """The folder of a name in the one place where runs go by default; made where it is not there.

    Raises:
        RunFolderError: it cannot be made.
    """
    try:
        folder = _made(base) / name
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make a run folder in {base}: {error.strerror}") from None
    return folder


def _made(base: Path) -> Path:
    """The one place, which git ignores."""
    base = redirected(base)
    base.mkdir(parents=True, exist_ok=True)
    ignore = base / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    return base


def folder_in_use_message(folder: Path) -> str:
    """The message for a run folder that holds a run."""
    return (
        f"run folder {folder} holds a run already: choose another, or overwrite it "
        "(--force; overwrite=True in Python)"
    )
