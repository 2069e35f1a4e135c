"""Ends a launched script where it parts from an earlier run of it: what follows would tell nothing more."""

from __future__ import annotations

from keras_repro.comparison.live import LiveComparison
from keras_repro.errors import LedgerError
from keras_repro.ledger.schema import Record
from keras_repro.processes.protocol import DIVERGED
from keras_repro.training.recording.run_recorder import RunRecorder


class StopOnDivergence:
    """Hears each record of a run and holds it against a reference.

    Args:
        run: the run; its listener becomes this.
        reference: the ledger of the earlier run.
    """

    def __init__(self, run: RunRecorder, reference: str) -> None:
        self._run = run
        self._live: LiveComparison | None = None
        try:
            self._live = LiveComparison(reference)
        except LedgerError:
            return  # what cannot be compared live is compared in the end
        run.listener = self._hear

    def rest(self) -> None:
        """Ends nothing any more: the script is over, and what it leaves is yet to be recorded."""
        self._live = None

    def _hear(self, record: Record) -> None:
        if self._live is None:
            return
        try:
            found = self._live.check(record, self._run.ledger.header)
        except LedgerError:
            found, self._live = None, None
        if found is not None:
            self._live = None
            if record.kind != "exit":
                # As the script itself might end: what it has to clean up, it does.
                raise SystemExit(DIVERGED)
