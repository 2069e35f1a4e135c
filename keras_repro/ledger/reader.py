"""Read a ledger line by line. Its content is checked, never trusted.

ledger = open_ledger("runs/a")
ledger.fingerprint, ledger.status
for record in ledger.typed_records():
    ...
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import blake3

from keras_repro.errors import LedgerError
from keras_repro.ledger.chain import ALGORITHM, FIRST_LINK, fingerprint, next_link
from keras_repro.ledger.line_format import LONGEST_LINE, checked_body, data_in
from keras_repro.ledger.schema import CHAINED_KINDS, ENDS, Header, Record, StepRecord
from keras_repro.storage.atomic_files import open_regular_file
from keras_repro.storage.run_folder import LEDGER_NAME, redirected
from keras_repro.utils.closeable import Closeable
from keras_repro.utils.untrusted_json import parse_json


def open_ledger(run: str | os.PathLike[str]) -> LedgerReader:
    """Open a ledger for reading.

    Args:
        run: a run folder or a ledger.

    Raises:
        LedgerError: there is no ledger, or its first line cannot be read.
    """
    return LedgerReader(ledger_path(run))


def ledger_path(run: str | os.PathLike[str]) -> Path:
    """Return the path of the ledger of a run folder, or of a ledger.

    Raises:
        LedgerError: there is no ledger in the folder.
    """
    path = redirected(run)
    if not os.path.lexists(path):
        path = Path(run)
    if os.path.isdir(path):
        path = path / LEDGER_NAME
        if os.access(path.parent, os.X_OK) and not os.path.lexists(path):
            raise LedgerError(f"{path.parent} holds no {LEDGER_NAME}: give a run folder or a ledger")
    return path


@dataclass(frozen=True)
class CompletePrefix:
    """How much of a ledger is complete.

    Attributes:
        lines: the number of complete lines.
        size: their size in bytes.
    """

    lines: int
    size: int


class _End(NamedTuple):
    status: str
    last: Record | None


class LedgerReader(Closeable):
    """The reading side of a ledger, as `open_ledger` returns it.

    Opens the file once. Each pass over its records has a position of its own, so passes may be interleaved.

    Attributes:
        path: the ledger's path.
        fit: the number of the fit, from 0, if only this fit of the run is read; else None.
        header: the first line as a plain dict.
        notes: what was noticed while reading, such as an incomplete last line.
        complete: the complete part of the ledger, as far as the last pass has read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fit: int | None = None
        self.notes: list[str] = []
        self.complete = CompletePrefix(0, 0)
        with open_regular_file(path, what="ledger") as file:
            self._descriptor = os.dup(file.fileno())
        first = next(self._lines(), None)
        if first is None:
            raise LedgerError(f"{path} is empty: the run ended before its first record")
        try:
            self.header: dict[str, Any] = Header.from_dict(first).to_dict()
        except (LedgerError, TypeError) as error:
            raise LedgerError(f"cannot read {path}: {error}") from None
        if self.header["algorithm"] != ALGORITHM:
            raise LedgerError(
                f"cannot read {path}: its digests are {self.header['algorithm']!r}, not {ALGORITHM}"
            )
        self._end: _End | None = None

    @property
    def title(self) -> str:
        """The run in words, for messages."""
        return str(self.path)

    @property
    def identity(self) -> str:
        """A text that is equal for copies of the same run."""
        return self.digest

    def number_in_file(self, fit: int) -> int:
        """Return the number that a fit of these records has in the files of the run."""
        return fit

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the records after the header as plain dicts."""
        return self._all_records()

    def typed_records(self) -> Iterator[Record]:
        """Yield the records of the chain, each link verified.

        Raises:
            LedgerError: a record is damaged, or a link does not match.
        """
        link = FIRST_LINK
        for number, data in enumerate(self._all_records(), start=2):
            if data.get("kind") == "step":  # there may be many, and none is in the chain
                continue
            try:
                record = Record.from_dict(data)
            except (LedgerError, TypeError) as error:
                raise LedgerError(f"cannot read {self.path}, line {number}: {error}") from None
            if not record.link:
                if record.kind in CHAINED_KINDS:
                    raise LedgerError(f"{self.path} is damaged at line {number}: it has no link")
                continue
            link = next_link(link, record.position, record.sections)
            if link != record.link:
                raise LedgerError(f"{self.path} is damaged at line {number}: its chain does not hold there")
            yield record

    def steps(self, fit: int, epoch: int) -> Iterator[StepRecord]:
        """Yield the step records of one epoch, in order.

        Raises:
            LedgerError: a record is damaged.
        """
        for number, data in enumerate(self.records(), start=2):
            if data.get("kind") == "step" and (data.get("fit"), data.get("epoch")) == (fit, epoch):
                try:
                    yield StepRecord.from_dict(data)
                except (LedgerError, TypeError) as error:
                    raise LedgerError(f"cannot read {self.path}, line {number}: {error}") from None

    @property
    def status(self) -> str:
        """`"finished"`, `"stopped"`, or `"killed"` if the ledger ends without an end record."""
        return self._ending().status

    @property
    def fingerprint(self) -> str | None:
        """The run's fingerprint, marked `-partial` unless it finished; None without a record."""
        end = self._ending()
        if end.last is None:
            return None
        return fingerprint(end.last.link, self.header["coverage"], partial=end.status != "finished")

    @property
    def last(self) -> Record | None:
        """The last record of the chain, None if there is none."""
        return self._ending().last

    @property
    def digest(self) -> str:
        """BLAKE3 of the whole file, 64 hexadecimal digits."""
        hasher = blake3.blake3()
        with self._pass() as file:
            while block := file.read(1 << 20):
                hasher.update(block)
        return hasher.hexdigest()

    def close(self) -> None:
        """Close the file. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _all_records(self) -> Iterator[dict[str, Any]]:
        lines = self._lines()
        next(lines, None)
        yield from lines

    def _ending(self) -> _End:
        if self._end is None:
            status, last = "killed", None
            for last in self.typed_records():
                status = "killed"
                if last.kind in ENDS:
                    status = str(last.extra.get("status", "finished"))
                # A launched run ends with its process, not with the end of a fit.
                if last.kind != "exit" and "r" in self.header["coverage"]:
                    status = "killed"
            self._end = _End(status, last)
        return self._end

    def _lines(self) -> Iterator[dict[str, Any]]:
        with self._pass() as file:
            number = size = 0
            while line := file.readline(LONGEST_LINE):
                whole = line.endswith(b"\n")
                if not whole and len(line) >= LONGEST_LINE:
                    raise LedgerError(f"{self.path} is no ledger: line {number + 1} has no end")
                if _has_gaps(line) and not _is_durable(self._pass(), number):
                    self._note("its end was never written to disk and is ignored")
                    return
                if not whole:
                    self._note("the last line is incomplete and is ignored")
                    return
                data = data_in(line, number, self.path)
                number, size = number + 1, size + len(line)
                self.complete = CompletePrefix(number, size)
                yield data

    def _pass(self) -> io.BufferedReader:
        return io.BufferedReader(_Pass(self._read_at), 1 << 20)

    def _read_at(self, size: int, position: int) -> bytes:
        return os.pread(self._descriptor, size, position)

    def _note(self, text: str) -> None:
        note = f"{self.path}: {text}"
        if note not in self.notes:
            self.notes.append(note)


class _Pass(io.RawIOBase):
    """One pass over an open file, with a position of its own."""

    def __init__(self, read_at: Callable[[int, int], bytes]) -> None:
        self._read_at, self._position = read_at, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        content = self._read_at(len(buffer), self._position)
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)


def discard_unbegun(folder: Path) -> None:
    """Remove a ledger without a header: its process was killed as the run began."""
    path = folder / LEDGER_NAME
    if os.path.lexists(path):
        with open_regular_file(path, what="ledger") as file:
            line = file.readline(LONGEST_LINE)
            lost = not line.endswith(b"\n") or (_has_gaps(line) and not _is_durable(file, 0))
        if lost and len(line) < LONGEST_LINE:
            path.unlink()


def _has_gaps(line: bytes) -> bool:
    """Return whether a line of our text contains zero bytes, as after a loss of power."""
    return b"\0" in line and all(byte in b"\0\n" or 32 <= byte < 127 for byte in set(line))


def _is_durable(file: io.BufferedReader, number: int) -> bool:
    """Return whether a later line proves that line `number` had been written: zeros in it are then damage.

    Without such proof, the machine failed before the file's last bytes were written.
    """
    while line := file.readline(LONGEST_LINE):
        body = checked_body(line.lstrip(b"\0"))
        with contextlib.suppress(ValueError):
            data = parse_json(b"null" if body is None else body + b"}")
            if not isinstance(data, dict):
                continue
            durable = data.get("n") if data.get("kind") in ENDS else data.get("durable")
            if isinstance(durable, int) and durable > number:
                return True
    return False
