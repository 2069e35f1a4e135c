"""Restore the event files of Keras's TensorBoard callback to their content at a snapshot.

    state = state_of(callback)                      # with a snapshot
    set_state(callback, state, processes=["host.4711"])

A killed process leaves events after its last snapshot, and the resumed process writes them again. So files
are truncated to their size at the snapshot, and later files of this run's processes are removed. Files of
other processes are not changed.
"""

from __future__ import annotations

import os
import re
import socket
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_repro.errors import ResumeError
from keras_repro.storage.atomic_files import atomic_write, open_regular_file, open_to_write
from keras_repro.storage.run_folder import PROCESSES_NAME
from keras_repro.training.backends.active import backend
from keras_repro.utils.text import system_reason

_FOLDERS = ("train", "validation")
_PROCESS = re.compile(r"\S+\.\d+")  # host and number
_LONGEST_LIST = 1 << 24


def this_process() -> str:
    """Return the part of an event file's name that identifies its process."""
    return f"{socket.gethostname()}.{os.getpid()}"


def state_of(callback: Any) -> dict[str, Any]:
    """Return the counters of a TensorBoard callback, and the sizes of its event files in bytes."""
    backend.callbacks.flush_tensorboard(callback)
    folder = backend.callbacks.tensorboard_folder(callback)
    files = {str(path.relative_to(folder)): path.stat().st_size for path in _event_files(folder)}
    return {name: getattr(callback, name) for name in backend.callbacks.TENSORBOARD} | {"files": files}


def set_state(callback: Any, state: Mapping[str, Any], *, processes: Collection[str]) -> None:
    """Restore a TensorBoard callback and its event files.

    Args:
        callback: the callback, whose fit has begun.
        state: the result of `state_of`.
        processes: the processes of this run, including the present one.
    """
    backend.callbacks.close_tensorboard(callback)
    for name in backend.callbacks.TENSORBOARD:
        setattr(callback, name, state[name])
    folder, sizes = backend.callbacks.tensorboard_folder(callback), dict(state["files"])
    for path in _event_files(folder):
        size = sizes.pop(str(path.relative_to(folder)), None)
        if size is None and _is_of(path, processes):
            path.unlink()
        elif size is not None and path.stat().st_size > size:
            os.truncate(path, size)
    if sizes:
        warnings.warn(
            f"keras_repro: {folder} no longer contains {', '.join(sizes)}: events of TensorBoard are missing",
            stacklevel=2,
        )


def note_process(folder: Path, *, continues: bool) -> list[str]:
    """Record in a run folder that this process trains there.

    Args:
        folder: the run folder.
        continues: whether the process continues an existing run.

    Returns:
        All processes of the run, as event files name them.

    Raises:
        ResumeError: the file of this name is not ours, or cannot be written.
    """
    path, before = folder / PROCESSES_NAME, []
    if os.path.lexists(path):
        with open_regular_file(path, what="list of processes", error=ResumeError) as file:
            before = file.read(_LONGEST_LIST).decode(errors="replace").splitlines()
        if not all(map(_PROCESS.fullmatch, before)):
            raise ResumeError(f"{path} is not a list of processes: choose another run folder")
    processes = list(dict.fromkeys([*(before if continues else []), this_process()]))
    try:
        with atomic_write(path) as temporary, open_to_write(temporary) as written:
            written.write("".join(f"{process}\n" for process in processes).encode())
    except OSError as error:
        raise ResumeError(f"cannot write {path}: {system_reason(error)}") from None
    return processes


def remove_orphaned(callback: Any, *, processes: Collection[str], since: float) -> None:
    """Remove the event files of earlier processes of this run, which has no snapshot yet.

    Args:
        callback: the callback.
        processes: the processes of this run.
        since: when the present process began, in seconds of `time.time`: later files are its own.
    """
    for path in _event_files(backend.callbacks.tensorboard_folder(callback)):
        if _is_of(path, processes) and path.stat().st_mtime < since:
            path.unlink()


def _event_files(folder: Path) -> Iterator[Path]:
    for name in _FOLDERS:
        found = sorted((folder / name).glob("events.out.tfevents.*"))
        yield from (path for path in found if not path.is_symlink())


def _is_of(path: Path, processes: Collection[str]) -> bool:
    return any(f".{process}." in path.name for process in processes)
