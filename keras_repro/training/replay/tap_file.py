"""Store the values of a replayed step's taps in a file: its gradients are as large as its weights.

with TapValues(folder / "taps.npz") as values:
    values.add(tensor)
values.read(0)
"""

from __future__ import annotations

import contextlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_repro.storage.atomic_files import remove_file
from keras_repro.utils.closeable import Closeable

_MAX_SIZE = 1 << 29  # bytes in the file


class TapValues(Closeable):
    """Values in the order of their arrival; values that do not fit in the file are dropped.

    Args:
        path: an `.npz` file, which is replaced.

    Attributes:
        path: the file.
        dtypes: name of each value's dtype.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.dtypes: list[str] = []
        self._stored: dict[int, np.dtype[Any]] = {}
        self._texts: dict[int, np.ndarray] = {}
        self._size = 0
        remove_file(path)
        self._file: zipfile.ZipFile | None = zipfile.ZipFile(path, "w")

    def add(self, value: np.ndarray) -> None:
        """Store one more value, unless the disk is full or the file has reached its maximal size."""
        index = len(self.dtypes)
        self.dtypes.append(value.dtype.name)
        if value.dtype == object:
            self._texts[index] = value
            return
        self._size += value.nbytes
        if self._file is None or self._size > _MAX_SIZE:
            return
        # Exact; NumPy's files cannot hold bfloat16.
        plain = value.astype(np.float32) if value.dtype.isbuiltin == 2 else value
        try:
            with self._file.open(f"{index}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, plain, allow_pickle=False)
        except OSError:
            self._give_up()
        else:
            self._stored[index] = value.dtype

    def read(self, index: int) -> np.ndarray | None:
        """Return the value with an index, None if it was dropped. Call it after `close`."""
        if index not in self._stored:
            return self._texts.get(index)
        with np.load(self.path, allow_pickle=False) as file:
            value: np.ndarray = file[str(index)]
        return value.astype(self._stored[index], copy=False)

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError:
                self._give_up()
            self._file = None

    def _give_up(self) -> None:
        file, self._file = self._file, None
        self._stored.clear()
        if file is not None and file.fp is not None:
            with contextlib.suppress(OSError):
                file.fp.close()
            file.fp = None  # otherwise it would write its directory again
        self.path.unlink(missing_ok=True)
