"""Read two ledgers once, for a page about both.

>>> from keras_repro.comparison.compare import compare
>>> pair = read_pair(compare("check/run-1", "check/run-2"))
>>> pair.epochs[:2], pair.metrics["loss"][0][:2]
(('epoch 1', 'epoch 2'), (0.5, 0.3333333333333333))
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.result import Comparison
from keras_repro.ledger.position_text import column_label
from keras_repro.ledger.reader import LedgerReader
from keras_repro.ledger.schema import Record

_MOST_METRICS = 50
_NAMED_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

Series = tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class RunPair:
    """The content of two ledgers that a page shows next to their comparison.

    Attributes:
        ledgers: both ledgers.
        epochs: the epochs that either has recorded, in words: `"epoch 1"`, or `"fit 2, epoch 1"`.
        metrics: by name, for each run a value per epoch; None if it has none there.
        diverging_records: the two records in which the runs diverge; None if they do not, or one just ends.
    """

    ledgers: tuple[LedgerReader, LedgerReader]
    epochs: tuple[str, ...]
    metrics: Mapping[str, tuple[Series, Series]]
    diverging_records: tuple[Record, Record] | None

    def without_paths(self, text: str) -> str:
        """Replace the paths of the runs by "run A" and "run B", since pages are published."""
        names: dict[str, str] = {}
        for letter, ledger in zip("BA", reversed(self.ledgers), strict=True):
            names[str(ledger.path)] = f"run {letter}"
            # The name of a relative folder may be an ordinary word, and reveals nothing.
            if ledger.path.is_absolute():
                names[str(ledger.path.parent)] = f"run {letter}"
        for path in sorted(names, key=len, reverse=True):
            text = text.replace(path, names[path])
        return text


def read_pair(comparison: Comparison) -> RunPair:
    """Read both ledgers of a comparison from end to end.

    Raises:
        LedgerError: a ledger is damaged.
    """
    first, second = comparison.ledgers
    divergence = comparison.divergence
    metrics_of_runs: list[dict[tuple[int, int], Mapping[str, Any]]] = []
    diverging: list[list[Record]] = []
    for ledger in (first, second):
        metrics, matches = {}, []
        for record in ledger.typed_records():
            if record.kind == "epoch" and record.epoch is not None:
                metrics[record.fit or 0, record.epoch] = record.metrics
            if divergence is not None and _is_at(record, divergence):
                matches.append(record)
        metrics_of_runs.append(metrics)
        diverging.append(matches)
    keys = sorted({key for metrics in metrics_of_runs for key in metrics})
    names = dict.fromkeys(n for k in keys for metrics in metrics_of_runs for n in metrics.get(k, ()))
    series = {
        name: tuple(tuple(_number(m.get(k, {}).get(name)) for k in keys) for m in metrics_of_runs)
        for name in list(names)[:_MOST_METRICS]
    }
    several = len({fit for fit, _ in keys}) > 1
    pairs = zip(*diverging, strict=False)
    return RunPair(
        ledgers=(first, second),
        epochs=tuple(column_label("epoch", *key, several_fits=several) for key in keys),
        metrics={n: (a, b) for n, (a, b) in series.items() if any(v is not None for v in (*a, *b))},
        diverging_records=next(((a, b) for a, b in pairs if a.sections != b.sections), None),
    )


def _is_at(record: Record, divergence: Divergence) -> bool:
    same = (record.kind, record.fit, record.index) == (divergence.kind, divergence.fit, divergence.index)
    return same and (record.kind == "birth" or record.epoch == divergence.epoch)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return _NAMED_NUMBERS.get(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # A whole number in JSON may have any size.
        return math.inf if value > 0 else -math.inf
