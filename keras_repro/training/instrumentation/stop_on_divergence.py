"""End a launched script when it diverges from an earlier run: the rest would add no information."""

from __future__ import annotations

import signal
import threading
import time

from keras_repro.comparison.live import LiveComparison
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Record
from keras_repro.processes.protocol import DIVERGED
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.utils.process_end import end_process

_GRACE_SECONDS = 10.0


class StopOnDivergence:
    """Compare each record of a run with a reference; end the process at a divergence.

    Args:
        run: the run, whose listener is set.
        reference: the ledger of the earlier run.

    Attributes:
        stopped: whether the run diverged, and the script was told to end.
    """

    def __init__(self, run: RunRecorder, reference: str) -> None:
        self.stopped = False
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
                self.stopped = True
                end_in_time(_GRACE_SECONDS)
                # An exception, so that the script cleans up as if it had ended itself.
                raise SystemExit(DIVERGED)


def end_in_time(grace: float) -> None:
    """Let the process end even if one of its threads waits for ever, as for a training that was stopped.

    Args:
        grace: after so many seconds the main thread is interrupted as by Ctrl-C, and after as many more the
            process is ended with `DIVERGED`.
    """
    main = threading.main_thread().ident
    assert main is not None

    def end() -> None:
        time.sleep(grace)
        signal.pthread_kill(main, signal.SIGINT)
        time.sleep(grace)
        end_process(DIVERGED)

    threading.Thread(target=end, daemon=True, name="keras_repro end_in_time").start()
