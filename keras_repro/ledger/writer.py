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
from typing import Any

from keras_repro.errors import LedgerError, RunFolderError
from keras_repro.ledger.chain import FIRST_LINK, fingerprint, next_link
from keras_repro.ledger.line_format import line_of, step_line
from keras_repro.ledger.schema import ENDS, Header, Record, StepRecord
from keras_repro.storage.atomic_files import sync
from keras_repro.storage.run_folder import LEDGER_NAME, folder_in_use_message, make_run_folder
from keras_repro.utils.appended_file import AppendedFile
from keras_repro.utils.closeable import Closeable
from keras_repro.utils.text import system_reason


class LedgerWriter(Closeable):
    """The writing side of a ledger: one record per line, each passed to the system at once."""

    def __init__(self, file: AppendedFile, header: Header, *, lines: int = 0) -> None:
        self.path = file.path
        self.header = header
        self.link = FIRST_LINK
        self._lock = threading.Lock()
        self._file = file
        self._lines = lines  # complete ones
        self._durable = 0  # lines that are known to be on disk

    @classmethod
    def create(cls, run_dir: str | os.PathLike[str], header: Header) -> LedgerWriter:
        """Create a run folder and its ledger.

        Args:
            run_dir: the run folder; created if missing.
            header: the first line.

        Raises:
            RunFolderError: the folder contains a ledger, or cannot be written.
        """
        folder = make_run_folder(run_dir)
        path = folder / LEDGER_NAME
        try:
            writer = cls(AppendedFile(path), header)
        except FileExistsError:
            raise RunFolderError(folder_in_use_message(folder)) from None
        except OSError as error:
            raise RunFolderError(f"cannot write to run folder {folder}: {system_reason(error)}") from None
        try:
            writer._write(header.to_dict(), FIRST_LINK)
        except BaseException:
            writer.close()
            path.unlink(missing_ok=True)  # a file without a header is no run
            raise
        return writer

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
                raise LedgerError(f"cannot write {self.path}: {system_reason(error)}") from None
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
        if self._file.closed:
            return
        self._file.sync()
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
        self._file.close()

    def _write(self, data: dict[str, Any], link: str) -> None:
        self._put(line_of(data | {"n": self._lines}), link)

    def _put(self, line: bytes, link: str) -> None:
        self._file.append(line)
        self._lines, self.link = self._lines + 1, link
