"""Append to, read and recover the append-only file of a run.

    >>> import tempfile
    >>> with Ledger.create(tempfile.mkdtemp() + "/run", Header(coverage="s")) as ledger:
    ...     _ = ledger.append(Record(kind="fit", fit=0, sections={"fit": "00"}))
    >>> read_ledger(ledger.path).header["coverage"]
    's'

Each line ends with a *line check* over everything before it and carries its number, so that damage is
found. It is no seal: whoever can write the file can write the check; `LedgerFile.digest` is what to print
where that matters.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

import blake3

from keras_repro.errors import LedgerError, RunFolderError
from keras_repro.record.digest import ALGORITHM, FIRST_LINK, fingerprint, next_link
from keras_repro.record.files import open_plain, sync
from keras_repro.record.folders import LEDGER_NAME, already_holds, make_run_folder, redirected
from keras_repro.record.schema import CHAINED_KINDS, Header, Record, StepRecord, plain_number

_CHECK_KEY = b',"check":"'
_CHECK_DIGITS = 16
_DEEPEST = 64
_ENDS = ("end", "exit")
_LONGEST_LINE = 1 << 26  # bytes: a record of some hundred thousand tensors


class Ledger:
    """The writing side: one open ledger, one record a line, each flushed to the system as it is written."""

    def __init__(self, path: Path, descriptor: int, header: Header, *, lines: int = 0, size: int = 0) -> None:
        self.path = path
        self.header = header
        self.link = FIRST_LINK
        self._lock = threading.Lock()
        self._descriptor = descriptor
        self._size, self._lines = size, lines  # bytes and lines that are complete
        self._durable = 0  # lines of which this process knows that the disk has them
        if lines:
            return  # it has its header
        try:
            self._write(header.to_dict(), FIRST_LINK)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(cls, run_dir: str | os.PathLike[str], header: Header, *, overwrite: bool = False) -> Ledger:
        """Makes the run folder and its ledger.

        Args:
            run_dir: the run folder; made if it is not there.
            header: the first line.
            overwrite: whether an existing ledger in it may be replaced.

        Raises:
            RunFolderError: the folder holds a ledger already, or cannot be written.
        """
        folder = make_run_folder(run_dir, overwrite=overwrite)
        path = folder / LEDGER_NAME
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        try:
            if overwrite:
                path.unlink(missing_ok=True)
            descriptor = os.open(path, flags, 0o644)
        except FileExistsError:
            raise RunFolderError(already_holds(folder)) from None
        except OSError as error:
            raise RunFolderError(f"cannot write to run folder {folder}: {error.strerror}") from None
        try:
            return cls(path, descriptor, header)
        except BaseException:
            path.unlink(missing_ok=True)  # without a header it is no run
            raise

    def append(self, record: Record) -> Record:
        """Writes one record behind the others, with the chain's next link in it.

        What is before an end is durable first, so that zeros there are seen to be damage.

        Returns:
            The record as written.

        Raises:
            LedgerError: the disk is full or the file cannot be written; what was written before is kept.
        """
        if record.kind in _ENDS:
            try:
                self.sync()
            except OSError as error:
                raise LedgerError(f"cannot write {self.path}: {error.strerror}") from None
        with self._lock:  # fits may run in several threads
            link = next_link(self.link, record.position, record.sections)
            written = replace(record, link=link)
            self._write(written.to_dict(), link)
        return written

    def append_step(self, record: StepRecord) -> None:
        """Writes a step's record, which is no part of the chain.

        Raises:
            LedgerError: as for `append`.
        """
        with self._lock:
            self._put(_step_line(record, self._lines), self.link)

    def mark(self, kind: str, **fields: Any) -> None:
        """Writes a line that is no part of the chain.

        Raises:
            LedgerError: as for `append`.
        """
        with self._lock:
            durable = {"durable": self._durable} if self._durable else {}
            self._write({"kind": kind, **fields, **durable}, self.link)

    def sync(self) -> None:
        """Waits until the disk has all of it, and the names of the file and of its folder."""
        with self._lock:
            lines = self._lines
        if self._descriptor < 0:
            return
        os.fsync(self._descriptor)
        if not self._durable:
            sync(self.path.parent)
            with contextlib.suppress(OSError):  # that folder may be closed to us
                sync(self.path.parent.parent)
        self._durable = lines

    def fingerprint(self, *, partial: bool = False) -> str:
        """The fingerprint of what was written so far."""
        return fingerprint(self.link, self.header.coverage, partial=partial)

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        # A callback is never told that it is used no more: its ledger goes with it.
        with contextlib.suppress(AttributeError, OSError):
            self.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _write(self, data: dict[str, Any], link: str) -> None:
        self._put(_with_check(data | {"n": self._lines}), link)

    def _put(self, line: bytes, link: str) -> None:
        rest = memoryview(line)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except BaseException as error:
            # Half a line, or one that Ctrl-C left uncounted, would make the lines after it unreadable.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
                os.fsync(self._descriptor)  # or a crash might mix it with the line that comes next
            if isinstance(error, OSError):
                raise LedgerError(f"cannot write {self.path}: {error.strerror}") from None
            raise
        self._size, self._lines, self.link = self._size + len(line), self._lines + 1, link


@dataclass(frozen=True)
class Complete:
    """How much of a ledger is complete.

    Attributes:
        lines: its lines.
        size: their bytes.
    """

    lines: int
    size: int


class LedgerFile:
    """The reading side: what `read_ledger` returns. Reads the file anew for each pass, line by line.

    Attributes:
        path: the ledger's path.
        header: the first line as a plain dict.
        notes: words about what was found while reading, such as a torn last line.
        complete: what was complete up to where the last pass has come.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self.complete = Complete(0, 0)
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
        self._end: tuple[str, str, int] | None = None

    def records(self) -> Iterator[dict[str, Any]]:
        """The records after the header, as plain dicts."""
        lines = self._lines()
        next(lines, None)
        yield from lines

    def typed_records(self) -> Iterator[Record]:
        """The records after the header, their chain checked link by link.

        Raises:
            LedgerError: a record is damaged, or the chain does not hold.
        """
        link = FIRST_LINK
        for number, data in enumerate(self.records(), start=2):
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
        """The step records of one epoch, in their order.

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
        """`"finished"`, `"stopped"`, or `"killed"` where the ledger just ends."""
        return self._ending()[0]

    @property
    def fingerprint(self) -> str | None:
        """The run's fingerprint, marked `-partial` unless it finished; None without a record."""
        status, link, count = self._ending()
        if count == 0:
            return None
        return fingerprint(link, self.header["coverage"], partial=status != "finished")

    @property
    def digest(self) -> str:
        """BLAKE3 of the whole file, 64 hexadecimal digits."""
        hasher = blake3.blake3()
        with open_plain(self.path, what="ledger") as file:
            while block := file.read(1 << 20):
                hasher.update(block)
        return hasher.hexdigest()

    def _ending(self) -> tuple[str, str, int]:
        if self._end is None:
            status, link, count = "killed", FIRST_LINK, 0
            for record in self.typed_records():
                link, count = record.link, count + 1
                status = "killed"
                if record.kind in _ENDS:
                    status = str(record.extra.get("status", "finished"))
                # A launched run is over when its process is: a fit's end does not end it.
                if record.kind != "exit" and "r" in self.header["coverage"]:
                    status = "killed"
            self._end = (status, link, count)
        return self._end

    def _lines(self) -> Iterator[dict[str, Any]]:
        with open_plain(self.path, what="ledger") as file:
            number = size = 0
            while line := file.readline(_LONGEST_LINE):
                whole = line.endswith(b"\n")
                if not whole and len(line) >= _LONGEST_LINE:
                    raise LedgerError(f"{self.path} is no ledger: line {number + 1} has no end")
                if b"\0" in line and not _is_durable(self.path, number):
                    self._note("its end never reached the disk and is left out")
                    return
                if not whole:
                    self._note("the last line was torn and is left out")
                    return
                data = _checked(line, number, self.path)
                number, size = number + 1, size + len(line)
                self.complete = Complete(number, size)
                yield data

    def _note(self, text: str) -> None:
        note = f"{self.path}: {text}"
        if note not in self.notes:
            self.notes.append(note)


def read_ledger(run: str | os.PathLike[str]) -> LedgerFile:
    """Opens a ledger for reading.

    Args:
        run: a run folder, or the ledger itself.

    Raises:
        LedgerError: there is none, or its first line cannot be read.
    """
    path = redirected(run)
    if not os.path.lexists(path):
        path = Path(run)
    if os.path.isdir(path):
        path = path / LEDGER_NAME
        if os.access(path.parent, os.X_OK) and not os.path.lexists(path):
            raise LedgerError(f"{path.parent} holds no {LEDGER_NAME}: give a run folder or a ledger")
    return LedgerFile(path)


def discard_unbegun(folder: Path) -> None:
    """Removes a ledger that has no header: its process was killed as the run began."""
    path = folder / LEDGER_NAME
    if os.path.lexists(path):
        with open_plain(path, what="ledger") as file:
            line = file.readline(_LONGEST_LINE)
        lost = not line.endswith(b"\n") or (b"\0" in line and not _is_durable(path, 0))
        if lost and len(line) < _LONGEST_LINE:
            path.unlink()


def _is_durable(path: Path, number: int) -> bool:
    """Whether a line behind this one says that the disk had it, as an end does: zeros there are then damage.

    Elsewhere they are what a machine leaves that died before the file's last bytes were written.
    """
    with open_plain(path, what="ledger") as file:
        while line := file.readline(_LONGEST_LINE):
            body, _, tail = line.lstrip(b"\0").rpartition(_CHECK_KEY)
            if tail == _line_check(body).encode() + b'"}\n':
                data = json.loads(body + b"}")
                durable = data.get("n") if data.get("kind") in _ENDS else data.get("durable")
                if isinstance(durable, int) and durable > number:
                    return True
    return False


def _with_check(data: dict[str, Any]) -> bytes:
    try:
        text = _ENCODER.encode(data)
    except ValueError:
        text = _ENCODER.encode(_without_nan(data))
    return _closed(text[:-1])


def _step_line(record: StepRecord, number: int) -> bytes:
    """The line of a step: what `_with_check` gives, in a fifth of its time for the usual record."""
    loss = record.loss
    usual = not record.extra and (loss is None or (type(loss) is float and math.isfinite(loss)))
    try:
        if usual:
            told = "" if loss is None else f',"loss":{loss!r}'
            batch = f',"batch":{{{_texts(record.batch)}}}' if record.batch else ""
            return _closed(
                f'{{"kind":"step","fit":{record.fit:d},"epoch":{record.epoch:d},"step":{record.step:d}{told}'
                f',"state":{{{_texts(record.state)}}}{batch},"n":{number}'
            )
    except TypeError:  # something in it is no text
        pass
    return _with_check(record.to_dict() | {"n": number})


def _texts(held: Mapping[str, str]) -> str:
    return ",".join([f"{_quoted(name)}:{_quoted(text)}" for name, text in held.items()])


def _closed(text: str) -> bytes:
    """A line from its text up to the line check."""
    body = text.encode()
    return body + _CHECK_KEY + _line_check(body).encode() + b'"}\n'


def _of_numpy(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a {type(value).__name__} cannot be written to a ledger")


_quoted = json.encoder.encode_basestring_ascii
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=_of_numpy)


def _without_nan(value: Any) -> Any:
    """The value with non-finite numbers by name: JSON has none, and NaN would differ from itself."""
    if isinstance(value, float):
        return plain_number(value)
    if isinstance(value, Mapping):
        return {k: _without_nan(v) for k, v in value.items()}
    return [_without_nan(v) for v in value] if isinstance(value, list | tuple) else value


def _line_check(body: bytes) -> str:
    return blake3.blake3(body).hexdigest()[:_CHECK_DIGITS]


def _checked(line: bytes, number: int, path: Path) -> dict[str, Any]:
    body, found, tail = line.rpartition(_CHECK_KEY)
    if not found or tail != _line_check(body).encode() + b'"}\n':
        raise LedgerError(f"{path} is damaged at line {number + 1}: its line check does not fit")
    try:
        data = json.loads(body + b"}")
    except (ValueError, RecursionError):
        raise LedgerError(f"{path} is damaged at line {number + 1}: it is no JSON") from None
    if body.count(b"[") + body.count(b"{") > _DEEPEST and _depth(data) > _DEEPEST:
        raise LedgerError(f"{path} is damaged at line {number + 1}: it is nested too deep")
    if not isinstance(data, dict) or data.get("n") != number:
        raise LedgerError(f"{path} is damaged at line {number + 1}: lines are missing before it")
    return data


def _depth(data: Any) -> int:
    """How deep lists and objects are nested, without recursion."""
    depth, level = 0, [data]
    while level := [v for d in level if isinstance(d, dict | list) for v in _inside(d)]:
        depth += 1
        if depth > _DEEPEST:
            break
    return depth


def _inside(data: dict[str, Any] | list[Any]) -> Any:
    return data.values() if isinstance(data, dict) else data
