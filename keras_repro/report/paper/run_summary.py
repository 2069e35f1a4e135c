"""One run in a page's words: what a single pass over its ledger gathers.

>>> from keras_repro.ledger.reader import open_ledger
>>> summary = summarize(open_ledger("check/run-1"))
>>> summary.results["evaluation 1"], summary.epochs, summary.seconds
({'loss': 0.25}, 2, 0.25)

What stands in a ledger may be anything: values are checked where they are used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import Record

_CENTURY = 3.2e9  # seconds


@dataclass
class Summary:
    """What a page about one run draws on.

    Attributes:
        name: the name of the run folder.
        header: the ledger's header.
        status: `"finished"`, `"stopped"` or `"killed"`.
        fingerprint: the run's fingerprint, None without a record.
        digest: the digest of the whole ledger.
        notes: what was noticed while it was read.
        fits: its `fit` records.
        results: metrics by where they were computed: after the last epoch of each fit, then in each
            evaluation.
        epochs: how many epochs it trained.
        seconds: the time that they took together, None where it was not recorded.
        random_operations: stateful random operations in the training graph.
        portability: what was found of its training steps, where it was to be portable.
        not_portable: operations in them that are not known to be portable.
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


def summarize(ledger: LedgerReader) -> Summary:
    """Reads a ledger once, from end to end.

    Raises:
        LedgerError: it is damaged.
    """
    found = Summary(
        name=ledger.path.resolve().parent.name,
        header=ledger.header,
        status=ledger.status,
        fingerprint=ledger.fingerprint,
        digest=ledger.digest,
    )
    last: dict[int | None, Record] = {}
    for record in ledger.typed_records():
        if record.kind == "fit":
            found.fits.append(record)
        elif record.kind == "epoch":
            found.epochs += 1
            last[record.fit] = record
            seconds = record.extra.get("seconds")
            if isinstance(seconds, float) and 0 <= seconds < _CENTURY:
                found.seconds = (found.seconds or 0.0) + seconds
            operations = record.extra.get("stateful_random_operations")
            _add_portability(found, record.extra.get("portability"))
            found.random_operations.update(map(str, operations if isinstance(operations, list) else ()))
        elif record.kind == "evaluation" and record.metrics:
            found.results[f"evaluation {(record.index or 0) + 1}"] = record.metrics
    trained = {_epoch_name(r, len(last)): r.metrics for r in last.values() if r.metrics}
    found.results = trained | found.results
    # A page is published: it names no folder of this machine.
    found.notes = [n.replace(str(ledger.path), "the ledger") for n in ledger.notes]
    return found


def _add_portability(found: Summary, said: Any) -> None:
    """What was found of a training step; somebody else may have written it."""
    if not isinstance(said, Mapping) or not isinstance(said.get("level"), str):
        return
    found.portability.append(said["level"])
    for one in said.get("findings") or ():
        if isinstance(one, Mapping):
            words = [one.get(n) for n in ("operation", "layer", "source", "reason")]
            found.not_portable.append(", ".join(str(w) for w in words if w))


def _epoch_name(record: Record, fits: int) -> str:
    name = f"training, epoch {(record.epoch or 0) + 1}"
    return name if fits == 1 else f"fit {(record.fit or 0) + 1}/{fits}: {name}"
