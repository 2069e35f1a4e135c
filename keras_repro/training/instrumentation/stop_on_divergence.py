"""End a launched script when it diverges from an earlier run: the rest would add no information."""

from __future__ import annotations

from keras_repro.comparison.live import LiveComparison
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Record
from keras_repro.processes.protocol import DIVERGED
from keras_repro.training.recording.run_recorder import RunRecorder


class StopOnDivergence:
    """Compare each record of a run with a reference; end the process at a divergence.

    Args:
        run: the run, whose listener is set.
        reference: the ledger of the earlier run.
    """

    def __init__(self, run: RunRecorder, reference: str) -> None:
        self._run = run
        self._live: LiveComparison | None = None
        try:
            self._live = LiveComparison(open_ledger(reference))
        except LedgerError:
            return  # the reference cannot be read now; the runs are compared after they end
        run.listener = self._compare

    def disable(self) -> None:
        """Stop comparing: the script has ended, and its last record follows."""
        self._live = None

    def _compare(self, record: Record) -> None:
        if self._live is None:
            return
        try:
            divergence = self._live.check(record, self._run.ledger.header)
        except LedgerError:
            divergence, self._live = None, None
        if divergence is not None:
            self._live = None
            if record.kind != "exit":
                # An exception, so that the script cleans up as if it had ended itself.
                raise SystemExit(DIVERGED)
