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

from keras_repro.ledger.position_text import fit_text
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import Record
from keras_repro.utils.untrusted_json import as_mappings, as_sequence

_CENTURY = 3.2e9  # seconds


@dataclass
class RunSummary:
    """The facts that a page about one run needs.

    Attributes:
        name: the name of the run folder.
        header: the ledger's header.
        status: `"finished"`, `"stopped"` or `"killed"`.
        fingerprint: the run's fingerprint; None if it has no record.
        digest: the digest of the whole ledger.
        notes: notes of the ledger reader.
        fits: its `fit` records.
        results: metrics by position: of the last epoch of each fit, then of each evaluation.
        epochs: the number of trained epochs.
        seconds: their time in all; None if it was not recorded.
        random_operations: stateful random operations in the training graph.
        portability: the portability level of each training step of a portable run.
        not_portable: operations that are not known to be portable.
    """

    name: str
    header: Mapping[str, Any]
    status: str
    fingerprint: str | None
    digest: str
    notes: list[str] = field(default_factory=list)
    fits: list[Record] = field(default_factory=list)
    results: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    epochs: int = 0
    seconds: float | None = None
    random_operations: set[str] = field(default_factory=set)
    portability: list[str] = field(default_factory=list)
    not_portable: list[str] = field(default_factory=list)


def summarize(ledger: LedgerReader) -> RunSummary:
    """Read a ledger once, from end to end.

    Raises:
        LedgerError: the ledger is damaged.
    """
    summary = RunSummary(
        name=ledger.path.resolve().parent.name,
        header=ledger.header,
        status=ledger.status,
        fingerprint=ledger.fingerprint,
        digest=ledger.digest,
    )
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
            summary.results[f"evaluation {(record.index or 0) + 1}"] = record.metrics
    trained = {_epoch_name(r, len(last)): r.metrics for r in last.values() if r.metrics}
    summary.results = trained | summary.results
    # Pages are published: never name folders of this machine.
    summary.notes = [n.replace(str(ledger.path), "the ledger") for n in ledger.notes]
    return summary


def _add_portability(summary: RunSummary, portability: Any) -> None:
    """Add the portability of a training step, if it is well-formed."""
    if not isinstance(portability, Mapping) or not isinstance(portability.get("level"), str):
        return
    summary.portability.append(portability["level"])
    for finding in as_mappings(portability.get("findings")):
        words = [finding.get(n) for n in ("operation", "layer", "source", "reason")]
        summary.not_portable.append(", ".join(str(w) for w in words if w))


def _epoch_name(record: Record, fits: int) -> str:
    fit = fit_text(record.fit or 0, fits)
    return f"{fit}{': ' if fit else ''}training, epoch {(record.epoch or 0) + 1}"
