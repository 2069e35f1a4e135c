"""Two ledgers read once, for a page about both.

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
_NAMED = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}

Series = tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class RunPair:
    """What a page draws on, beside the comparison.

    Attributes:
        files: both ledgers.
        epochs: the epochs that either has recorded, in words: `"epoch 1"`, or `"fit 2, epoch 1"`.
        metrics: by name, for each run a value an epoch; None where it has none there.
        parted: the two records in which the runs part; None where they do not, or one just ends.
    """

    files: tuple[LedgerReader, LedgerReader]
    epochs: tuple[str, ...]
    metrics: Mapping[str, tuple[Series, Series]]
    parted: tuple[Record, Record] | None

    def in_words(self, text: str) -> str:
        """A text with "run A" and "run B" in place of their paths: a page is published."""
        names: dict[str, str] = {}
        for letter, file in zip("BA", reversed(self.files), strict=True):
            names[str(file.path)] = f"run {letter}"
            # A relative folder may be a word like any other, and names nothing of this machine.
            if file.path.is_absolute():
                names[str(file.path.parent)] = f"run {letter}"
        for path in sorted(names, key=len, reverse=True):
            text = text.replace(path, names[path])
        return text


def read_pair(comparison: Comparison) -> RunPair:
    """Read both ledgers of a comparison from end to end.

    Raises:
        LedgerError: a ledger is damaged.
    """
    first, second = comparison.ledgers
    files, divergence = (first, second), comparison.divergence
    held: list[dict[tuple[int, int], Mapping[str, Any]]] = []
    there: list[list[Record]] = []
    for file in files:
        epochs, found = {}, []
        for record in file.typed_records():
            if record.kind == "epoch" and record.epoch is not None:
                epochs[record.fit or 0, record.epoch] = record.metrics
            if divergence is not None and _is_there(record, divergence):
                found.append(record)
        held.append(epochs)
        there.append(found)
    keys = sorted({*held[0], *held[1]})
    names = list(dict.fromkeys(n for k in keys for h in held for n in h.get(k, ())))[:_MOST_METRICS]
    several = len({fit for fit, _ in keys}) > 1
    parted = next((p for p in zip(*there, strict=False) if p[0].sections != p[1].sections), None)
    return RunPair(
        files=files,
        epochs=tuple(column_label("epoch", *k, several_fits=several) for k in keys),
        metrics={
            name: (_series(held[0], keys, name), _series(held[1], keys, name))
            for name in names
            if any(_number(h.get(k, {}).get(name)) is not None for k in keys for h in held)
        },
        parted=parted,
    )


def _is_there(record: Record, divergence: Divergence) -> bool:
    same = (record.kind, record.fit, record.index) == (divergence.kind, divergence.fit, divergence.index)
    return same and (record.kind == "birth" or record.epoch == divergence.epoch)


def _series(held: Mapping[tuple[int, int], Mapping[str, Any]], keys: list[Any], name: str) -> Series:
    return tuple(_number(held.get(k, {}).get(name)) for k in keys)


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return _NAMED.get(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return float(value)
    except OverflowError:  # a whole number of JSON may be of any size
        return math.inf if value > 0 else -math.inf
