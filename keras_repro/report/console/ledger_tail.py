"""Follow a growing ledger, to show how far a run is."""

from __future__ import annotations

import json
import time
from pathlib import Path

from keras_repro.ledger.position_text import fit_text
from keras_repro.utils.growing_file import GrowingFile


class LedgerTail:
    """Read the lines that are appended to a ledger, without verifying them.

    Args:
        path: the ledger; it need not exist yet.

    Attributes:
        finished_epochs: the epochs of all fits so far.
        first_fit_time: when the first fit was seen, by `time.monotonic`; None before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.finished_epochs = 0
        self.first_fit_time: float | None = None
        self._file = GrowingFile(path)
        self._fit, self._epoch, self._epochs = 0, 0, 0

    @property
    def share(self) -> float:
        """The finished share of the present fit, 0 to 1."""
        return self._epoch / self._epochs if self._epochs else 0.0

    @property
    def position(self) -> str:
        """The present position in words: `"starting"`, `"fit 2, epoch 3/5"`."""
        if self.first_fit_time is None:
            return "starting"
        fit = fit_text(self._fit)
        return f"{f'{fit}, ' if fit else ''}epoch {self._epoch}/{self._epochs or '?'}"

    def read(self) -> None:
        """Read the complete lines that were added since the last call."""
        for line in self._file.new_lines():
            if line.startswith(b'{"kind":"fit"'):
                record = json.loads(line)
                self._epochs = int(record.get("arguments", {}).get("epochs") or 0)
                self._fit, self._epoch = int(record.get("fit", 0)), 0
                self.first_fit_time = self.first_fit_time or time.monotonic()
            elif line.startswith(b'{"kind":"epoch"'):
                self._epoch += 1
                self.finished_epochs += 1
