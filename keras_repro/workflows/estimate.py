"""How long a whole training would take, from a capped run of it (`--max-epochs`, `--max-steps`)."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from keras_repro.ledger.reader import LedgerReader


def estimated_seconds(ledger: LedgerReader, seconds: float) -> float | None:
    """Seconds for the whole training, from those of the epochs and steps that were run of it.

    Args:
        ledger: of the capped run.
        seconds: how long the capped run took, from the start of its process to its end.

    Returns:
        The estimate; None where nothing was capped.
    """
    if not ledger.header["policies"]:
        return None
    epochs: list[float] = []
    arguments: Mapping[str, Any] = {}
    for record in ledger.typed_records():
        if record.kind == "fit":
            arguments, epochs = record.extra.get("arguments", {}), []
        elif record.kind == "epoch":
            epochs.append(float(record.extra.get("seconds", 0.0)))
        elif record.kind == "end" and epochs:
            # The first epoch holds the tracing too, which the others do not repeat.
            later = statistics.median(epochs[1:] or epochs)
            whole = later * _share(arguments, "steps") * len(epochs) * _share(arguments, "epochs")
            seconds += max(0.0, epochs[0] - later) + whole - sum(epochs)
    return seconds


def _share(arguments: Mapping[str, Any], name: str) -> float:
    """How many times what was run of epochs or steps was asked for; 1 where that is not known."""
    asked, done = arguments.get(f"{name}_requested"), arguments.get(name)
    return asked / done if isinstance(asked, int) and isinstance(done, int) and done > 0 else 1.0
