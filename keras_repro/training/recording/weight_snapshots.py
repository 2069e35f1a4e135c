"""Snapshots of the weights after chosen epochs, kept in the run folder to be compared.

snapshots = Snapshots(folder, keep="last")
snapshots.take("epoch", 0, 3, StateWalk(model).tensors())    # {"file": ..., "digest": ...}
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from keras_repro.storage.run_folder import SNAPSHOTS_NAME
from keras_repro.storage.snapshot_file import write_snapshot
from keras_repro.training.backends.active import backend
from keras_repro.training.state.buffers import bytes_of
from keras_repro.training.state.walk import StateTensor

Keep = Literal["all", "last"] | Sequence[int] | None


def check_keep(keep: Any) -> None:
    """Raises a ValueError where `keep` does not say after which epochs snapshots shall be kept."""
    if keep is None or (isinstance(keep, str) and keep in ("all", "last")):
        return
    listed = list(keep) if isinstance(keep, list | tuple | set | frozenset | range) else [None]
    if not all(isinstance(e, int) and not isinstance(e, bool) and e >= 1 for e in listed):
        raise ValueError(
            f"keep must be 'all', 'last' or a list of epochs, counted from 1 as Keras prints them, "
            f"received {keep!r}"
        )


class Snapshots:
    """Writes the snapshots of one run.

    Args:
        folder: the run folder.
        keep: as for `DeterminismCallback`.
    """

    def __init__(self, folder: Path, keep: Keep) -> None:
        self._folder = folder / SNAPSHOTS_NAME
        self._keep = keep
        self._held: list[Path] = []  # older ones, where only the last is kept

    def clear(self) -> None:
        """Removes what an overwritten run has left there."""
        if not self._folder.is_symlink():
            for path in self._folder.glob("fit-*.h5*"):
                path.unlink()

    def go_on(self) -> None:
        """Goes on with those that an interrupted run has left there."""
        if self._keep == "last":
            self._held = list(self._folder.glob("fit-*.h5"))

    def due(self, kind: str, epoch: int | None) -> bool:
        """Whether one is to be taken with a record; with an `end` where it is not as its last epoch was."""
        if self._keep is None or kind not in ("epoch", "end"):
            return False
        return isinstance(self._keep, str) or (epoch is not None and epoch + 1 in self._keep)

    def take(self, kind: str, fit: int, epoch: int | None, tensors: Sequence[StateTensor]) -> dict[str, str]:
        """Writes the weights of a state.

        Returns:
            What the record says of it: `file`, from the run folder, and `digest`.

        Raises:
            SnapshotError: it cannot be written.
        """
        place = "end" if epoch is None else f"epoch-{epoch + 1}"
        path = self._folder / f"fit-{fit + 1}-{place}.h5"
        self._folder.mkdir(exist_ok=True)
        weights = [t for t in tensors if t.section == "weights"]
        values = backend.variables.read_all([t.variable for t in weights])
        arrays = {t.name: array_of_value(value) for t, value in zip(weights, values, strict=True)}
        digest = write_snapshot(path, arrays, metadata={"kind": kind, "fit": fit, "epoch": epoch})
        if self._keep == "last":
            for old in self._held:
                if old != path:
                    with contextlib.suppress(OSError):
                        old.unlink(missing_ok=True)
            self._held = [path]
        return {"file": f"{SNAPSHOTS_NAME}/{path.name}", "digest": digest}


def array_of_value(value: Any) -> np.ndarray:
    """An eager tensor as a NumPy array of its own dtype: a view of its memory where that can be."""
    shape, name = tuple(value.shape), value.dtype.name
    if name == "string":
        return np.asarray(value.numpy(), object).reshape(shape)
    held = bytes_of(value)
    flat = held.view("u1") if isinstance(held, np.ndarray) else np.frombuffer(held, "u1")
    return flat.view(np.dtype(value.dtype.as_numpy_dtype)).reshape(shape)
