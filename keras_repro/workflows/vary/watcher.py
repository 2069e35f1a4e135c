"""The callbacks of a variation runner."""

from __future__ import annotations

from pathlib import Path

from keras_repro.workflows.vary.results import VariationOutcome


class VariationWatcher:
    """Called while variations run; the default does nothing."""

    def on_start(self, name: str, change: str, ledger: Path) -> None:
        """Called when a run has started; its ledger will appear at `ledger`."""

    def on_poll(self) -> None:
        """Called about ten times a second."""

    def on_end(self, name: str, outcome: VariationOutcome) -> None:
        """Called when a run has ended, or a variation is not tried."""
