"""Write and read the file of sketches next to a ledger.

    >>> import tempfile, pathlib, numpy as np
    >>> from keras_repro.storage.linear_sketch import sketch_rows
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "sketches.bin"
    >>> with SketchWriter(path) as writer:
    ...     kernel = SketchedTensor("layers/0/kernel", "float32", (2, 3))
    ...     rows = sketch_rows(np.ones((2, 3), "float32"), "float32")
    ...     writer.append("start 0", "00" * 16, [(kernel, rows)])
    >>> [(r.position, r.tensors[0].name) for r in SketchFile(path).records()]
    [('start 0', 'layers/0/kernel')]

The file is a sequence of frames, each with its own check: an incomplete last frame is ignored, and any other
damage is found (docs/ledger.md). No part of it is in the chain or the fingerprint.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import blake3
import numpy as np

from keras_repro.errors import LedgerError
from keras_repro.storage.atomic_files import open_regular_file, refuse_link
from keras_repro.storage.linear_sketch import NUMBERS, parts_of
from keras_repro.utils.appended_file import AppendedFile
from keras_repro.utils.closeable import Closeable
from keras_repro.utils.text import system_reason
from keras_repro.utils.untrusted_json import is_shape, parse_json

_MAGIC = b"KRSKETCH" + struct.pack("<II", 1, NUMBERS)
_HEAD = struct.Struct("<II8s")  # kind, payload size, check of these two
_CHECK = 8
_TENSORS, _RECORD = 1, 2
_BEGIN = struct.Struct("<II16s")  # size of the position, number of tensors, digest of their section
_LARGEST_FRAME = 1 << 28  # bytes: the sketches of half a million tensors


@dataclass(frozen=True)
class SketchedTensor:
    """A sketched tensor.

    Attributes:
        name: its structural name.
        dtype: as TensorFlow names it.
        shape: its dimensions.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def parts(self) -> int:
        """Number of rows of its sketch."""
        return parts_of(self.dtype)


@dataclass(frozen=True, eq=False)
class SketchRecord:
    """The sketches of one record of a ledger.

    Attributes:
        position: the record's position in the chain, such as `"epoch 0 3"`.
        digest: the digest of the `weights` section there.
        tensors: all sketched tensors.
        rows: float64, of shape (tensors, 2, 32): the sketch of each; the second row is 0 if unused.
            Valid until the next record is read.
    """

    position: str
    digest: str
    tensors: tuple[SketchedTensor, ...]
    rows: np.ndarray


class SketchWriter(Closeable):
    """Write a file of sketches.

    Args:
        path: the file, which does not exist.

    Raises:
        LedgerError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._numbers: dict[SketchedTensor, int] = {}
        try:
            self._file = AppendedFile(path)
        except OSError as error:
            raise LedgerError(f"cannot write {path}: {system_reason(error)}") from None
        self._file.append(_MAGIC)

    def append(self, position: str, digest: str, sketches: Sequence[tuple[SketchedTensor, Any]]) -> None:
        """Append the sketches of one record.

        Args:
            position: the record's position in the chain.
            digest: the digest of its `weights` section, 32 hexadecimal digits.
            sketches: each changed tensor with its `sketch_rows`. Other tensors keep their last sketch.

        Raises:
            LedgerError: the disk is full or the file cannot be written; earlier records are kept.
        """
        frames = b""
        new = [t for t, _ in sketches if t not in self._numbers]
        if new:
            listed = [[t.name, t.dtype, list(t.shape)] for t in new]
            frames = _frame(_TENSORS, json.dumps({"tensors": listed}, separators=(",", ":")).encode())
        numbers = self._numbers | {t: len(self._numbers) + i for i, t in enumerate(new)}
        encoded = position.encode()
        payload = [
            _padded(_BEGIN.pack(len(encoded), len(sketches), bytes.fromhex(digest)) + encoded),
            _padded(np.array([numbers[t] for t, _ in sketches], "<u4").tobytes()),
            *(np.asarray(rows, "<f8").tobytes() for _, rows in sketches),
        ]
        self._file.append(frames + _frame(_RECORD, b"".join(payload)))
        self._numbers = numbers

    def rename(self, path: Path) -> None:
        """Replace the file at `path`, once all sketches are on the disk.

        Raises:
            LedgerError: the file cannot be renamed.
        """
        try:
            self._file.sync()
            refuse_link(path)
            os.replace(self._file.path, path)
        except OSError as error:
            raise LedgerError(f"cannot write {path}: {system_reason(error)}") from None
        self._file.path = path

    def sync(self) -> None:
        """Wait until all sketches are on the disk."""
        self._file.sync()

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._file.close()


class SketchFile:
    """Read a file of sketches.

    Args:
        path: the file.

    Attributes:
        notes: remarks on the file, such as an incomplete last frame.

    Raises:
        LedgerError: it is missing, or is not a file of sketches.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        with open_regular_file(path, what="file of sketches") as file:
            magic = file.read(len(_MAGIC))
        if _MAGIC.startswith(magic):
            return  # its process may have been killed at the start
        if magic[:8] == _MAGIC[:8]:
            raise LedgerError(f"cannot read {path}: its format is newer; upgrade keras_repro")
        raise LedgerError(f"cannot read {path}: it is not a file of sketches")

    def records(self) -> Iterator[SketchRecord]:
        """Yield the records in order, each with the sketches of all tensors at that record.

        Raises:
            LedgerError: the file is damaged.
        """
        tensors: list[SketchedTensor] = []
        rows, parts = np.zeros((0, 2, NUMBERS)), np.zeros(0, int)
        latest: dict[str, int] = {}  # number of the tensor with a name
        known, listed, before = np.zeros(0, int), (), b""
        for number, (kind, payload) in enumerate(self._frames(), start=1):
            try:
                if kind == _TENSORS:
                    tensors += _read_tensors(payload)
                    parts = np.array([t.parts for t in tensors], int)
                    rows = np.concatenate([rows, np.zeros((len(tensors) - len(rows), 2, NUMBERS))])
                elif kind == _RECORD:
                    position, digest, numbers = _read_record(payload, parts, rows)
                    if numbers.tobytes() != before:
                        latest |= {tensors[i].name: i for i in numbers.tolist()}
                        known = np.array(list(latest.values()), int)
                        listed, before = tuple(tensors[i] for i in known), numbers.tobytes()
                    every = known.tolist() == list(range(len(rows)))
                    yield SketchRecord(position, digest, listed, rows if every else rows[known])
            except (ValueError, KeyError, TypeError, IndexError, struct.error, RecursionError):
                raise LedgerError(f"{self.path} is damaged at frame {number}") from None

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        with open_regular_file(self.path, what="file of sketches") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(len(_MAGIC))
            number = 0
            while head := file.read(_HEAD.size):
                number += 1
                rest = size - file.tell()
                if len(head) < _HEAD.size:
                    return self._note_incomplete()
                kind, length, check = _HEAD.unpack(head)
                if check != _check(head[:8]):
                    raise LedgerError(f"{self.path} is damaged at frame {number}: its check does not match")
                if length + _CHECK > rest:
                    return self._note_incomplete()
                if length > _LARGEST_FRAME:
                    raise LedgerError(f"{self.path} is damaged at frame {number}: it is too long")
                payload, check = file.read(length), file.read(_CHECK)
                if check != _check(payload):
                    raise LedgerError(f"{self.path} is damaged at frame {number}: its check does not match")
                yield kind, payload

    def _note_incomplete(self) -> None:
        note = f"{self.path}: the last frame is incomplete and is ignored"
        if note not in self.notes:
            self.notes.append(note)


def _read_tensors(payload: bytes) -> list[SketchedTensor]:
    tensors = []
    for name, dtype, shape in parse_json(payload)["tensors"]:
        if type(name) is not str or type(dtype) is not str or not is_shape(shape):
            raise ValueError
        tensors.append(SketchedTensor(name, dtype, tuple(shape)))
    return tensors


def _read_record(payload: bytes, parts: np.ndarray, rows: np.ndarray) -> tuple[str, str, np.ndarray]:
    """Copy the rows of a record to `rows`; return its position, its digest and its tensors' numbers."""
    length, count, digest = _BEGIN.unpack_from(payload)
    begin = _aligned(_BEGIN.size + length)
    end = begin + _aligned(4 * count)
    if end > len(payload):
        raise ValueError
    position = payload[_BEGIN.size : _BEGIN.size + length].decode()
    numbers = np.frombuffer(payload, "<u4", count, begin)
    counts = parts[numbers]
    first = np.cumsum(counts) - counts
    sketches = np.frombuffer(payload, "<f8", offset=end).reshape(int(counts.sum()), NUMBERS)
    rows[numbers, 0] = sketches[first]
    two = counts == 2
    rows[numbers[two], 1] = sketches[first[two] + 1]
    return position, digest.hex(), numbers


def _frame(kind: int, payload: bytes) -> bytes:
    head = struct.pack("<II", kind, len(payload))
    return head + _check(head) + payload + _check(payload)


def _check(data: bytes) -> bytes:
    return blake3.blake3(data).digest(length=_CHECK)


def _aligned(length: int) -> int:
    return -(-length // 8) * 8


def _padded(data: bytes) -> bytes:
    return data + bytes(_aligned(len(data)) - len(data))
