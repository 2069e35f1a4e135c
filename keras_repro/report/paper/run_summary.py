"""Summarize a run in a single pass over its ledger.

>>> from keras_repro.ledger.reader import open_ledger
>>> summary = summarize(open_ledger("check/run-1"))
>>> summary.results["evaluation 1"], summary.epochs, summary.seconds
({'loss': 0.25}, 2, 0.25)

The ledger may come from an untrusted source: values are checked before they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_repro.ledger.position_text import position_text
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import Record, switches_in
from keras_repro.utils.untrusted_json import as_mapping, as_mappings, as_sequence, as_text

_CENTURY = 3.2e9  # seconds


@dataclass
class RunSummary:
    """The facts that a page about one run needs.

    Attributes:
        ledger: the open ledger.
        fits: its `fit` records.
        results: metrics by position: of the last epoch of each fit, then of each evaluation.
        epochs: the number of trained epochs.
        seconds: their time in all; None if it was not recorded.
        random_operations: stateful random operations in the training graph.
        portability: the portability level of each training step of a portable run.
        not_portable: operations that are not known to be portable.
    """

    ledger: LedgerReader
    fits: list[Record] = field(default_factory=list)
    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    epochs: int = 0
    seconds: float | None = None
    random_operations: set[str] = field(default_factory=set)
    portability: list[str] = field(default_factory=list)
    not_portable: list[str] = field(default_factory=list)

    @property
    def environment(self) -> Mapping[str, Any]:
        """The recorded environment; empty if there is none."""
        return as_mapping(self.ledger.header["environment"])

    @property
    def switches(self) -> Mapping[str, Mapping[str, Any]]:
        """The recorded reading of each switch, by name."""
        return switches_in(self.ledger.header)


def summarize(ledger: LedgerReader) -> RunSummary:
    """Read a ledger once, from end to end.

    Raises:
        LedgerError: the ledger is damaged.
    """
    summary = RunSummary(ledger)
    last: dict[int | None, Record] = {}
    for record in ledger.typed_records():
        if record.kind == "fit":
            summary.fits.append(record)
        elif record.kind == "epoch":
            summary.epochs += 1
            last[record.fit] = record
            seconds = record.extra.get("seconds")
            if isinstance(seconds, float) and 0 <= seconds < _CENTURY:
                summary.seconds = (summary.seconds or 0.0) + seconds
            _add_portability(summary, record.extra.get("portability"))
            operations = as_sequence(record.extra.get("stateful_random_operations"))
            summary.random_operations.update(map(str, operations))
        elif record.kind == "evaluation" and record.metrics:
            summary.results[position_text("evaluation", index=record.index or 0)] = record.metrics
    trained = {
        f"training, {position_text('epoch', fit=r.fit, epoch=r.epoch or 0, fits=len(last))}": r.metrics
        for r in last.values()
        if r.metrics
    }
    summary.results = trained | summary.results
    return summary


def _add_portability(summary: RunSummary, portability: Any) -> None:
    """Add the portability of a training step, if it was recorded."""
    if level := as_text(as_mapping(portability).get("level")):
        summary.portability.append(level)
        for finding in as_mappings(portability.get("findings")):
            words = [finding.get(n) for n in ("operation", "layer", "source", "reason")]
            summary.not_portable.append(", ".join(str(w) for w in words if w))
