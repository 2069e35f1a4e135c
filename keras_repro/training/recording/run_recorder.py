"""One run folder: its ledger, opened with its header at the first record."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_repro._version import __version__
from keras_repro.determinism.switches import read_switches
from keras_repro.errors import LedgerError, ResumeError
from keras_repro.ledger.earlier_run import EarlierRun
from keras_repro.ledger.position_text import position_text
from keras_repro.ledger.resumed_writer import ResumedLedgerWriter
from keras_repro.ledger.schema import Header, Record, StepRecord
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.provenance.environment import gather
from keras_repro.provenance.input_files import file_digest
from keras_repro.provenance.module_lookup import running_script
from keras_repro.provenance.redaction import redact_arguments, redact_path
from keras_repro.storage.digest import section_digest
from keras_repro.storage.run_folder import folder_of_copy, make_run_folder, redirected
from keras_repro.storage.run_lock import RunLock
from keras_repro.training.backends.active import backend
from keras_repro.training.recording.recording_options import RecordingOptions
from keras_repro.training.recording.sidecar_files import SidecarFiles, error_text
from keras_repro.training.state.model_numbers import ModelNumbers


class RunRecorder:
    """One run folder: its ledger, opened at the first record, and the count of its fits.

    Args:
        run_dir: the run folder.
        options: how to record.
        coverage: letters of `ledger.schema.COVERAGE`.
        header: further fields of the header, such as `command`, `mode`, `seed`, `policies`.
        resume: whether to continue an existing ledger.
        launched: whether the run is that of a launched script: `redirect_runs` does not apply to it, and no
            failure of the recording may end the script.
        is_copy: whether to record into a new folder, `run_dir` with a number, made at the first record.

    Attributes:
        folder: the run folder; `run_dir` without its number before the first record of a copy.
        options: how to record.
        listener: called with each record after it was written; None for nothing.
        sidecar_files: the other files of the run folder.
        fits: the number of fits so far.
        counts: the number of loops, evaluations and predictions so far, by kind.
        broken: why a part of the record is missing, None if it is complete; the first reason of several.
        ended: whether nothing more can be written.
        closed: whether the run is closed.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        options: RecordingOptions,
        *,
        coverage: str,
        header: Mapping[str, Any] | None = None,
        resume: bool = False,
        launched: bool = False,
        is_copy: bool = False,
    ) -> None:
        self.folder = Path(run_dir if launched else redirected(run_dir))
        if not is_copy:
            make_run_folder(self.folder, overwrite=options.overwrite or resume)
            if not (launched or resume):
                EarlierRun(self.folder).check(overwrite=options.overwrite)
        self.options = options
        self.coverage = coverage
        self.fits = 0
        self.broken: str | None = None
        self.ended = False
        self.listener: Callable[[Record], None] | None = None
        self.closed = False
        self.sidecar_files = self._new_sidecar_files()
        self._resume, self._launched, self._is_copy = resume, launched, is_copy
        self._header_fields = dict(header or {})
        self._lock = threading.RLock()
        self.number_of = ModelNumbers().number_of  # by the order of first fits in this run
        self.counts: Counter[str] = Counter()
        self._ledger: LedgerWriter | None = None
        self._run_lock: RunLock | None = None  # during a fit, if the folder is not locked for longer

    @property
    def ledger(self) -> LedgerWriter:
        """The open ledger; created with its header on first use."""
        with self._lock:
            if self._ledger is None:
                if self._is_copy:
                    self.folder = folder_of_copy(self.folder)
                    self.sidecar_files = self._new_sidecar_files()
                header = self._header()
                if self._resume:
                    self._ledger = ResumedLedgerWriter(self.folder, header)
                else:
                    self._replace_earlier_run()
                    self._ledger = LedgerWriter.create(self.folder, header)
                self.sidecar_files.begin(resume=self._resume)
        return self._ledger

    @property
    def started(self) -> bool:
        """Whether the ledger is open."""
        return self._ledger is not None

    def append(self, record: Record) -> None:
        """Write a record, unless the recording has ended.

        If the disk is full, the recording ends with a warning; the training continues.
        """
        if self.ended:
            return
        first = self._ledger is None
        try:
            written = self.ledger.append(record)
        except LedgerError as error:
            if not self._launched and (first or record.kind in ("fit", "start")):
                raise  # nothing was trained yet
            if isinstance(error, ResumeError):
                raise
            place = position_text(record.kind, fit=record.fit, epoch=record.epoch, index=record.index)
            return self._end(place, error)
        if self.listener is not None:
            self.listener(written)
        if record.kind == "end":
            self._unlock()

    def append_step(self, record: StepRecord) -> None:
        """Write a step's record; a full disk is handled as by `append`."""
        if self.ended:
            return
        try:
            self.ledger.append_step(record)
        except LedgerError as error:
            self._end(f"step {record.step + 1} of epoch {record.epoch + 1}", error)

    def note_failure(self, place: str, error: Exception) -> None:
        """Warn that a part of the record ended early; other parts continue.

        Args:
            place: the position in the training.
            error: the reason.
        """
        problem = f"recording ended at {place}: {error_text(error)}"
        self.broken = self.broken or problem
        warnings.warn(f"keras_repro: {problem}; the training continues", stacklevel=4)

    def next_fit(self) -> int:
        """Count a fit and return its number, from 0."""
        with self._lock:
            if self._ledger is not None:
                self._lock_folder()
            self.fits += 1
            return self.fits - 1

    def next_index(self, kind: str) -> int:
        """Count a result or a loop and return its number, from 0."""
        with self._lock:
            self.counts[kind] += 1
            return self.counts[kind] - 1

    def fingerprint(self, *, partial: bool = False) -> str | None:
        """Return the fingerprint so far, None before the first record."""
        if self._ledger is None:
            return None
        return self.ledger.fingerprint(partial=partial or self.broken is not None)

    def close(self) -> None:
        """Flush the files to disk and close them."""
        self.closed = True
        self.sidecar_files.close()
        if self._ledger is None:
            return
        for finish in (self._ledger.sync, self._ledger.close):
            # After a failed write these may fail too: the user was warned already.
            with contextlib.suppress(*([OSError] if self.broken else [])):
                finish()
        self._unlock()

    def _new_sidecar_files(self) -> SidecarFiles:
        return SidecarFiles(self.folder, sketches=self.options.sketches, keep=self.options.keep)

    def _replace_earlier_run(self) -> None:
        """Lock the folder and remove the files of an earlier run in it; a launcher has done so already."""
        if not self._launched:
            earlier = EarlierRun(self.folder)
            earlier.check(overwrite=self.options.overwrite)
            self._lock_folder()
            earlier.remove()

    def _lock_folder(self) -> None:
        if self._run_lock is None and not (self._launched or self._resume):
            self._run_lock = RunLock(self.folder, shared=True)

    def _unlock(self) -> None:
        if self._run_lock is not None:
            self._run_lock.close()
            self._run_lock = None

    def _end(self, place: str, error: Exception) -> None:
        self.ended = True
        self.note_failure(place, error)

    def _header(self) -> Header:
        # None in a notebook.
        script = running_script()
        environment = dict(gather(Path.cwd() if script is None else Path(script).resolve().parent))
        environment["frameworks"] = backend.trainer.versions()
        if script is not None and (digest := file_digest(script)) is not None:
            environment["code"] = digest
        if script is not None and "command" not in self._header_fields:
            self._header_fields["command"] = published_command(script, None, sys.argv[1:])
        readings = read_switches(self._header_fields.pop("requested", None))
        return Header(
            coverage=self.coverage,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            version=__version__,
            environment=environment,
            switches=tuple(r.to_dict() for r in readings),
            **self._header_fields,
        )


def state_record(kind: str, tensors: Mapping[str, Mapping[str, str]], **fields: Any) -> Record:
    """Return a record of digests by section and name, with the digest of each section."""
    sections = {name: section_digest(digests) for name, digests in tensors.items()}
    return Record(kind=kind, sections=sections, tensors=tensors, **fields)


def published_command(
    script: str | None, module: str | None, arguments: Sequence[str], *, publish: bool = False
) -> dict[str, Any]:
    """Return a command in the form of a ledger's header: redacted, except to `publish` its arguments."""
    shown, hidden = redact_arguments(arguments, publish=publish)
    path = None if script is None else redact_path(script)
    return {"script": path, "module": module, "arguments": shown, "hidden": hidden}
