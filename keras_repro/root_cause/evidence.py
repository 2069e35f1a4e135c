"""What the processes of a diagnosis have recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from keras_repro.storage.divergence_report import DivergenceReport
from keras_repro.storage.trace_file import Interval


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The traces and reports of the processes.

    Attributes:
        first: the trace of the first process.
        second: the trace of the second process.
        report: of the second process, from the point where it diverged from the first.
        third: report of a further process with the hash seed of the first; None if there is none.
        taps: values of the taps in the replayed step, by process: `{index: array}`.
        hash_seeds_differ: whether the first two processes had different hash seeds or conditions.
        varied: what differs between their conditions, in words; None if nothing was varied.
        left: files that an earlier run has written, and that did not exist for the first process.
    """

    first: Sequence[Interval]
    second: Sequence[Interval]
    report: DivergenceReport
    third: DivergenceReport | None = None
    taps: Sequence[Mapping[int, Any]] = ()
    hash_seeds_differ: bool = False
    varied: str | None = None
    left: frozenset[str] = field(default_factory=frozenset)
