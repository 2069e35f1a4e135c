"""`Run`: the result of `ReproducibleTrainer.fit`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras

from keras_repro.comparison.divergence import Divergence


@dataclass(frozen=True, eq=False, kw_only=True)
class Run:
    """One finished (or stopped) training.

    Attributes:
        fingerprint: the hash of its whole reproducible history.
        model: the trained model.
        history: metrics by name, one value per epoch.
        ledger: path of its ledger.
        status: `"finished"`, or `"stopped"` if it diverged from its reference.
        divergence: the first difference from its reference, None if there is none.
    """

    fingerprint: str
    model: keras.Model
    history: Mapping[str, list[float]]
    ledger: Path
    status: str
    divergence: Divergence | None = None

    @property
    def run_dir(self) -> Path:
        """The run folder."""
        return self.ledger.parent
