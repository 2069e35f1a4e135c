"""Make run folders: never overwritten unasked, and by default all in one folder that git ignores."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from keras_repro.errors import RunFolderError
from keras_repro.storage.atomic_files import leads_out
from keras_repro.utils.text import system_reason

DEFAULT_FOLDER = ".keras_repro"
IGNORE_NAME, IGNORE_TEXT = ".gitignore", "*\n"  # in the default folder

# The files of a run.
LEDGER_NAME = "ledger.jsonl"
SKETCHES_NAME = "sketches.bin"
SNAPSHOTS_NAME = "snapshots"  # a folder
PROCESSES_NAME = "processes.txt"
# Further files of a launched script. The last four are of a diagnosing child: the trace, the evidence at the
# divergence, the values of the replayed step, and the state before it.
OUTPUT_NAME = "output.txt"
TRACE_NAME = "trace.jsonl"
DIVERGENCE_NAME = "divergence.json"
TAPS_NAME = "taps.npz"
STATE_BEFORE_NAME = "before.h5"
# A forked process that trains leaves an empty file whose name is this prefix and its process number.
UNOBSERVED = "unobserved-"
# Folders of further runs: those that a launched script asks for, and those of a diagnosis.
RUNS_NAME = "runs"
DIAGNOSIS_NAME = "diagnosis"

_redirection: list[tuple[Path, Path]] = []


def redirect_runs(folder: Path) -> None:
    """Move the runs that this process records below `folder`, so that other processes do not find them.

    A path below the working folder stays the same relative to it.
    """
    _redirection[:] = [(folder, Path.cwd())]


def redirected(run_dir: str | os.PathLike[str]) -> Path:
    """Return the path that `redirect_runs` gives a run folder; the path itself without redirection.

    Raises:
        RunFolderError: there is a link on the way, which may lead elsewhere.
    """
    path = Path(run_dir)
    if not _redirection:
        return path
    (folder, cwd), absolute = _redirection[0], Path(os.path.abspath(path))
    if not absolute.is_relative_to(folder):
        path = folder / absolute.relative_to(cwd if absolute.is_relative_to(cwd) else absolute.anchor)
    if leads_out(Path(os.path.abspath(path)), folder.parent):
        raise RunFolderError(f"cannot use run folder {path}: there is a link below {folder.parent}")
    return path


def make_run_folder(run_dir: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Make a run folder, or use one that holds no ledger yet.

    Raises:
        RunFolderError: it holds a ledger and `overwrite` is false, or it cannot be made.
    """
    folder = Path(run_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise RunFolderError(f"run folder {folder} is a file: choose another name") from None
    except OSError as error:
        raise RunFolderError(f"cannot make run folder {folder}: {system_reason(error)}") from None
    if not overwrite and os.path.lexists(folder / LEDGER_NAME):
        raise RunFolderError(folder_in_use_message(folder))
    return folder


def new_folder(name: str, *, base: Path = Path(DEFAULT_FOLDER)) -> Path:
    """Make a new folder `name-1`, `name-2`, ... in the default folder of runs.

    Raises:
        RunFolderError: it cannot be made.
    """
    try:
        return _first_free(_made(base) / name, number=1)
    except OSError as error:
        raise RunFolderError(f"cannot make a run folder in {base}: {system_reason(error)}") from None


def folder_of_copy(folder: Path) -> Path:
    """Make a new folder next to a run folder: `folder-2`, `folder-3`, ...

    Raises:
        RunFolderError: it cannot be made.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return _first_free(folder, number=2)
    except OSError as error:
        raise RunFolderError(f"cannot make a copy of run folder {folder}: {system_reason(error)}") from None


def named_folder(name: str, *, base: Path = Path(DEFAULT_FOLDER)) -> Path:
    """Return the folder of a name in the default folder of runs; make it if it does not exist.

    Raises:
        RunFolderError: it cannot be made.
    """
    try:
        folder = _made(base) / name
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make a run folder in {base}: {system_reason(error)}") from None
    return folder


def _first_free(path: Path, *, number: int) -> Path:
    """Make the first folder `path-number` that does not exist; safe if several processes do so."""
    while True:
        folder = path.with_name(f"{path.name}-{number}")
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            return folder
        number += 1


def _made(base: Path) -> Path:
    """Make the folder of runs, which git ignores."""
    base = redirected(base)
    base.mkdir(parents=True, exist_ok=True)
    ignore = base / IGNORE_NAME
    if not os.path.lexists(ignore):
        ignore.write_text(IGNORE_TEXT)
    return base


def folder_in_use_message(folder: Path) -> str:
    """Return the message for a run folder that holds a run."""
    return (
        f"run folder {folder} holds a run already: choose another, or overwrite it "
        "(--force; overwrite=True in Python)"
    )
