"""One run folder: its ledger, opened with its header at the first record."""

from __future__ import annotations

import contextlib
import datetime
import os
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_repro._version import __version__
from keras_repro.determinism.switches import read_switches
from keras_repro.errors import LedgerError, ReproError, ResumeError
from keras_repro.ledger.position_text import position_text
from keras_repro.ledger.resumed_writer import ResumedLedgerWriter
from keras_repro.ledger.schema import Header, Mode, Record, StepRecord
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.provenance.environment import code_digest, gather
from keras_repro.provenance.redaction import redact_arguments, redact_path
from keras_repro.storage.run_folder import make_run_folder, redirected
from keras_repro.training.backends.active import backend
from keras_repro.training.recording.sidecar_files import SidecarFiles
from keras_repro.training.recording.weight_snapshots import Keep


class RunRecorder:
    """One run folder: its ledger, opened at the first record, and the count of its fits.

    Args:
        run_dir: the run folder.
        coverage: letters of `record.schema.COVERAGE`.
        overwrite: whether a run that is there may be replaced.
        listener: is given each record as it was written.
        details: further fields of the header, such as `command`, `seed`, `policies`.
        redirect: whether `redirect_runs` concerns it.
        watching: whether it records somebody else's script, whose training no failure of ours may end.
        go_on: whether a ledger that is there is gone on with.
        sketches: whether sketches of the weights are written beside the ledger.
        keep: after which epochs snapshots of the weights are kept, as for `DeterminismCallback`.
    """

    def __init__(
        self,
        run_dir: str | os.PathLike[str],
        *,
        coverage: str,
        mode: Mode = "observed",
        overwrite: bool = False,
        listener: Callable[[Record], None] | None = None,
        details: Mapping[str, Any] | None = None,
        redirect: bool = True,
        watching: bool = False,
        go_on: bool = False,
        sketches: bool = True,
        keep: Keep = None,
    ) -> None:
        where = redirected(run_dir) if redirect else run_dir
        self.folder: Path = make_run_folder(where, overwrite=overwrite or go_on)
        self._go_on = go_on
        self.coverage = coverage
        self.mode: Mode = mode
        self.fits = 0
        self.broken: str | None = None
        self.listener = listener
        self.closed = False
        self._watching = watching
        self._lock = threading.RLock()
        self._trained: list[weakref.ref[Any]] = []
        self._overwrite = overwrite
        self._details = dict(details or {})
        self._ledger: LedgerWriter | None = None
        self.beside = SidecarFiles(self.folder, sketches=sketches, keep=keep)

    @property
    def ledger(self) -> LedgerWriter:
        """The open ledger; made with its header on first use."""
        with self._lock:
            if self._ledger is None:
                header = self._header()
                if self._go_on:
                    self._ledger = ResumedLedgerWriter(self.folder, header)
                else:
                    self._ledger = LedgerWriter.create(self.folder, header, overwrite=self._overwrite)
                self.beside.begin(go_on=self._go_on)
        return self._ledger

    @property
    def started(self) -> bool:
        """Whether the ledger is there."""
        return self._ledger is not None

    def append(self, record: Record) -> Record | None:
        """Writes a record. A disk that fills up ends the recording with a warning, not the training."""
        if self.broken is not None:
            return None
        first = self._ledger is None
        try:
            written = self.ledger.append(record)
        except LedgerError as error:
            if not self._watching and (first or record.kind in ("fit", "start")):
                raise  # nothing is lost yet
            if isinstance(error, ResumeError):
                raise
            place = position_text(record.kind, fit=record.fit, epoch=record.epoch, index=record.index)
            self._break(place, error)
            return None
        if self.listener is not None:
            self.listener(written)
        return written

    def append_step(self, record: StepRecord) -> None:
        """Writes a step's record; a disk that fills up ends the recording, as for `append`."""
        if self.broken is not None:
            return
        try:
            self.ledger.append_step(record)
        except LedgerError as error:
            self._break(f"step {record.step + 1} of epoch {record.epoch + 1}", error)

    @contextlib.contextmanager
    def guarded(self, place: str) -> Iterator[None]:
        """Keeps a failure of ours out of a training: it ends the recording, with a warning.

        Errors that are for the user, such as a divergence to raise, pass.
        """
        try:
            yield
        except Exception as error:
            self.failed(place, error)

    def failed(self, place: str, error: Exception) -> None:
        """Ends the recording for an error of ours, as `guarded` does, which takes longer where none is."""
        if isinstance(error, ReproError):
            raise error
        self._break(place, error)

    def next_fit(self) -> int:
        """The number of a fit that begins."""
        with self._lock:
            self.fits += 1
            return self.fits - 1

    def number_of(self, model: Any) -> int:
        """Which of the models that were trained in this run it is, by the order of their first fits."""
        for number, known in enumerate(self._trained):
            if known() is model:
                return number
        self._trained.append(weakref.ref(model))
        return len(self._trained) - 1

    def _break(self, place: str, error: Exception) -> None:
        text = str(error) if isinstance(error, ReproError) else f"{type(error).__name__}: {error}"
        self.broken = f"recording ended at {place}: {text}"
        warnings.warn(f"keras_repro: {self.broken}; the training goes on", stacklevel=3)

    def fingerprint(self, *, partial: bool = False) -> str | None:
        """The fingerprint so far, None before the first record."""
        if self._ledger is None:
            return None
        return self.ledger.fingerprint(partial=partial or self.broken is not None)

    def close(self) -> None:
        """Waits for the disk and closes the ledger."""
        self.closed = True
        self.beside.close()
        if self._ledger is not None:
            # Where the writing failed, this may too: that was said already.
            with contextlib.suppress(*([OSError] if self.broken else [])):
                self._ledger.sync()
            with contextlib.suppress(*([OSError] if self.broken else [])):
                self._ledger.close()

    def _header(self) -> Header:
        self._details.setdefault("command", _this_command())
        environment = dict(gather(_folder_of_script()))
        environment["frameworks"] = backend.trainer.versions()
        script = getattr(sys.modules.get("__main__"), "__file__", None)
        if script is not None and (digest := code_digest(script)) is not None:
            environment["code"] = digest
        readings = read_switches(self._details.pop("requested", None))
        return Header(
            mode=self.mode,
            coverage=self.coverage,
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            version=__version__,
            environment=environment,
            switches=tuple(r.to_dict() for r in readings),
            **self._details,
        )


def _this_command() -> dict[str, Any]:
    """The command that runs this process, as it may be published; empty in a notebook."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    if script is None:
        return {}
    return published_command(script, None, sys.argv[1:])


def published_command(script: str | None, module: str | None, arguments: Sequence[str]) -> dict[str, Any]:
    """A command as it may stand in a ledger."""
    shown, hidden = redact_arguments(arguments)
    path = None if script is None else redact_path(script)
    return {"script": path, "module": module, "arguments": shown, "hidden": hidden}


def _folder_of_script() -> Path:
    """The folder whose git commit the run belongs to."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path.cwd() if script is None else Path(script).resolve().parent
