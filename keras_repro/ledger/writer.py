"""Append to, read and recover the append-only file of a run.

    >>> import tempfile
    >>> with LedgerWriter.create(tempfile.mkdtemp() + "/run", Header(coverage="s")) as ledger:
    ...     _ = ledger.append(Record(kind="fit", fit=0, sections={"fit": "00"}))
    >>> ledger.path.name, ledger.fingerprint()[:6]
    ('ledger.jsonl', 'kr1-s-')

Each line ends with a *line check* over everything before it and carries its number, so that damage is
found. It is no seal: whoever can write the file can write the check; `LedgerReader.digest` is what to print
where that matters.
"""

from __future__ import annotations

import contextlib
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_repro.errors import LedgerError, RunFolderError
from keras_repro.ledger.chain import FIRST_LINK, fingerprint, next_link
from keras_repro.ledger.line_format import line_of, step_line
from keras_repro.ledger.schema import ENDS, Header, Record, StepRecord
from keras_repro.storage.atomic_files import sync
from keras_repro.storage.run_folder import LEDGER_NAME, folder_in_use_message, make_run_folder
from keras_repro.utils.closeable import Closeable


class LedgerWriter(Closeable):
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
    def create(
        cls, run_dir: str | os.PathLike[str], header: Header, *, overwrite: bool = False
    ) -> LedgerWriter:
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
            raise RunFolderError(folder_in_use_message(folder)) from None
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
        if record.kind in ENDS:
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
            self._put(step_line(record, self._lines), self.link)

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

    def _write(self, data: dict[str, Any], link: str) -> None:
        self._put(line_of(data | {"n": self._lines}), link)

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
