"""Choose the folder that a command records into."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_repro.errors import ReproError


def script_name(options: argparse.Namespace) -> str:
    """Return the name of the script, as part of a folder name."""
    name = options.module or Path(options.script).stem
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)[:60] or "script"


def parent_folder(options: argparse.Namespace, name: str) -> Path:
    """Return the folder of several runs: that of `--run-dir`, else a new one with this name."""
    from keras_repro.storage.run_folder import new_folder

    return Path(options.run_dir) if options.run_dir else new_folder(name)


def single_run_folder(options: argparse.Namespace, name: str, *, writes: Iterable[str] = ()) -> Path:
    """Make the folder of one run, that of `--run-dir` or a new one with this name, without an earlier run.

    Args:
        options: the options of the command.
        name: the name of a new folder.
        writes: names of the files that this process writes there.
    """
    from keras_repro.ledger.earlier_run import EarlierRun
    from keras_repro.storage.run_folder import make_run_folder, new_folder
    from keras_repro.storage.run_lock import RunLock

    if options.run_dir is None:
        return new_folder(name)
    folder = make_run_folder(options.run_dir, overwrite=options.force)
    earlier = EarlierRun(folder)
    earlier.check(overwrite=options.force, writes=writes)
    with RunLock(folder, "launched"):
        earlier.remove()
    return folder


def resumable_folder(options: argparse.Namespace) -> Path:
    """Make or find the folder of a run that can be resumed; without `--run-dir`, the script names it."""
    from keras_repro.ledger.earlier_run import EarlierRun
    from keras_repro.storage.run_folder import make_run_folder, named_folder
    from keras_repro.storage.run_lock import RunLock

    if options.force:
        raise ReproError("--resume continues the run that --force would replace: remove one of them")
    if options.run_dir is None:
        folder = named_folder(f"{script_name(options)}-resumable")
    else:
        folder = make_run_folder(options.run_dir, overwrite=True)
    EarlierRun(folder).check(overwrite=True)
    RunLock(folder, "launched").close()  # Fail here if the run is still going, before a process is started.
    return folder


@contextmanager
def interruption_reported(consequence: str) -> Iterator[None]:
    """Turn an interruption by the user into an error that names its consequence."""
    try:
        yield
    except KeyboardInterrupt:
        raise ReproError(f"interrupted: the child process has ended, {consequence}") from None
