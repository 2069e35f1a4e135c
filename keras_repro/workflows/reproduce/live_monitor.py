"""Compare a new run's ledger with the recorded one while it grows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.live import LiveComparison
from keras_repro.errors import LedgerError
from keras_repro.ledger.reader import open_ledger
from keras_repro.ledger.schema import Header, Record
from keras_repro.storage.run_folder import LEDGER_NAME
from keras_repro.utils.growing_file import GrowingFile
from keras_repro.workflows.reproduce.run_spec import RunSpec


class LiveMonitor:
    """Report a divergence from the recorded run while the new run trains.

    Args:
        folder: of the new run.
        spec: of the recorded run.
        on_divergence: called once, with the first divergence.
    """

    def __init__(
        self, folder: Path, spec: RunSpec, on_divergence: Callable[[Divergence], None] | None
    ) -> None:
        self._folder, self._spec, self._on_divergence = folder, spec, on_divergence
        self._comparison: LiveComparison | None = None
        self._ledger: GrowingFile | None = None
        self._header: Header | None = None
        with contextlib.suppress(LedgerError):
            self._comparison = LiveComparison(spec.ledger.path)

    def poll(self) -> None:
        """Compare the records that were added since the last call."""
        if self._comparison is None or self._on_divergence is None:
            return
        if self._ledger is None:
            ledgers = matching_ledgers(self._folder, self._spec)
            # A script may make several runs, the recorded one under any name: only the same name is certain.
            name = self._spec.ledger.path.resolve().parent.name
            own = [p for p in ledgers if self._spec.of_whole_script or p.parent.name == name]
            if not own:
                return
            self._ledger = GrowingFile(own[0])
        for line in self._ledger.new_lines():
            data = json.loads(line)
            try:
                if data.get("kind") == "header":
                    self._header = Header.from_dict(data)
                elif data.get("kind") != "step" and self._header is not None:
                    divergence = self._comparison.check(Record.from_dict(data), self._header)
                    if divergence is not None:
                        self._on_divergence(divergence)
                        self._comparison = None
                        return
            except LedgerError:
                self._comparison = None
                return


def matching_ledgers(folder: Path, spec: RunSpec) -> list[Path]:
    """Return the ledgers of a new run that may correspond to the recorded one."""
    if spec.of_whole_script:
        own = folder / LEDGER_NAME
        return [own] if own.exists() else []
    ledgers = []
    for path in sorted((folder / "runs").rglob(LEDGER_NAME)):
        with contextlib.suppress(LedgerError):
            if open_ledger(path).header.get("coverage") == spec.ledger.header.get("coverage"):
                ledgers.append(path)
    return ledgers
