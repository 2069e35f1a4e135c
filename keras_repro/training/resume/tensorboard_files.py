"""The files that Keras's TensorBoard callback writes: as they were at a snapshot, in a process that goes on.

    state = state_of(callback)                      # with a snapshot
    set_state(callback, state, processes=["host.4711"])

A process that is killed leaves events behind its last snapshot; the one that goes on makes them again. So
what is behind the snapshot is cut off: files that were there are cut to their size then, and those that came
later from a process of this run are removed. Files of others are left alone.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from keras_repro.training.backends.active import backend

_FOLDERS = ("train", "validation")
_PROCESSES_NAME = "processes.txt"


def this_process() -> str:
    """What the names of event files say of the process that writes them."""
    return f"{socket.gethostname()}.{os.getpid()}"


def state_of(callback: Any) -> dict[str, Any]:
    """What a TensorBoard callback keeps, and the sizes of its event files, in bytes."""
    backend.callbacks.flush_tensorboard(callback)
    folder = backend.callbacks.tensorboard_folder(callback)
    files = {str(path.relative_to(folder)): path.stat().st_size for path in _event_files(folder)}
    return {name: getattr(callback, name) for name in backend.callbacks.TENSORBOARD} | {"files": files}


def set_state(callback: Any, state: Mapping[str, Any], *, processes: Collection[str]) -> None:
    """Gives a TensorBoard callback what it kept, and brings its files back to where they were.

    Args:
        callback: the callback, whose fit has begun.
        state: as `state_of` gave it.
        processes: those of this run, this one among them.
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
            f"keras_repro: {folder} no longer holds {', '.join(sizes)}: what TensorBoard was told is missing",
            stacklevel=2,
        )


def note_process(folder: Path, *, goes_on: bool) -> list[str]:
    """Notes in a run folder that this process trains there.

    Args:
        folder: the run folder.
        goes_on: whether it goes on with a run.

    Returns:
        All processes that have trained in it, as the names of event files say it.
    """
    path = folder / _PROCESSES_NAME
    before = path.read_text().split() if goes_on and path.exists() else []
    noted = list(dict.fromkeys([*before, this_process()]))
    path.write_text("\n".join(noted) + "\n")
    return noted


def remove_orphaned(callback: Any, *, processes: Collection[str], since: float) -> None:
    """Removes what processes of this run have left that came to no snapshot.

    Args:
        callback: the callback.
        processes: those of this run.
        since: when this process began with it, in seconds of `time.time`: what is younger is its own.
    """
    for path in _event_files(backend.callbacks.tensorboard_folder(callback)):
        if _is_of(path, processes) and path.stat().st_mtime < since:
            path.unlink()


def _event_files(folder: Path) -> Iterator[Path]:
    for name in _FOLDERS:
        yield from sorted((folder / name).glob("events.out.tfevents.*"))


def _is_of(path: Path, processes: Collection[str]) -> bool:
    return any(f".{process}." in path.name for process in processes)
