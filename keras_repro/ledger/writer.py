"""Write the append-only ledger of a run.

    >>> import tempfile
    >>> with LedgerWriter.create(tempfile.mkdtemp() + "/run", Header(coverage="s")) as ledger:
    ...     _ = ledger.append(Record(kind="fit", fit=0, sections={"fit": "00"}))
    >>> ledger.path.name, ledger.fingerprint()[:6]
    ('ledger.jsonl', 'kr1-s-')

Each line has its number and ends with a *line check* over everything before it, so that damage is found. This
is no signature: anyone who can write the file can write the check. To detect forgery, publish
`LedgerReader.digest`.
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
    """The writing side of a ledger: one record per line, each passed to the system at once."""

    def __init__(self, path: Path, descriptor: int, header: Header, *, lines: int = 0, size: int = 0) -> None:
        self.path = path
        self.header = header
        self.link = FIRST_LINK
        self._lock = threading.Lock()
        self._descriptor = descriptor
        self._size, self._lines = size, lines  # complete bytes and lines
        self._durable = 0  # lines that are known to be on disk
        if lines:
            return  # the header is written already
        try:
            self._write(header.to_dict(), FIRST_LINK)
        except BaseException:
            self.close()
            raise

    @classmethod
    def create(
        cls, run_dir: str | os.PathLike[str], header: Header, *, overwrite: bool = False
    ) -> LedgerWriter:
        """Create a run folder and its ledger.

        Args:
            run_dir: the run folder; created if missing.
            header: the first line.
            overwrite: whether an existing ledger in the folder may be replaced.

        Raises:
            RunFolderError: the folder contains a ledger, or cannot be written.
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
            path.unlink(missing_ok=True)  # a file without a header is no run
            raise

    def append(self, record: Record) -> Record:
        """Append a record, with the chain's next link.

        Before an end, all earlier lines are synced to disk. Zeros in them are then known to be damage.

        Returns:
            The record as written.

        Raises:
            LedgerError: the disk is full or the file cannot be written; earlier records are kept.
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
        """Append the record of a step, which is not part of the chain.

        Raises:
            LedgerError: as for `append`.
        """
        with self._lock:
            self._put(step_line(record, self._lines), self.link)

    def mark(self, kind: str, **fields: Any) -> None:
        """Append a line that is not part of the chain.

        Raises:
            LedgerError: as for `append`.
        """
        with self._lock:
            durable = {"durable": self._durable} if self._durable else {}
            self._write({"kind": kind, **fields, **durable}, self.link)

    def sync(self) -> None:
        """Wait until the ledger and the names of the file and its folder are on disk."""
        with self._lock:
            lines = self._lines
        if self._descriptor < 0:
            return
        os.fsync(self._descriptor)
        if not self._durable:
            sync(self.path.parent)
            with contextlib.suppress(OSError):  # we may not be allowed to open that folder
                sync(self.path.parent.parent)
        self._durable = lines

    def fingerprint(self, *, partial: bool = False) -> str:
        """Return the fingerprint of the records written so far."""
        return fingerprint(self.link, self.header.coverage, partial=partial)

    def close(self) -> None:
        """Close the file. Idempotent."""
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
            # A partial line, or one that Ctrl-C left uncounted, would make later lines unreadable.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
                os.fsync(self._descriptor)  # or a crash might mix it with the next line
            if isinstance(error, OSError):
                raise LedgerError(f"cannot write {self.path}: {error.strerror}") from None
            raise
        self._size, self._lines, self.link = self._size + len(line), self._lines + 1, link
