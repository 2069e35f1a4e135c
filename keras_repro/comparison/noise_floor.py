"""Measure how much of a difference between two runs the seed alone makes, from runs with other seeds.

    floor = NoiseFloor.of([open_ledger(f"runs/seed-{n}") for n in (1, 2, 3)])
    floor.judge({"loss": 0.31}, {"loss": 0.33})["loss"].within                # True

Each final result that all runs report (metrics of the last epoch, evaluations) has a noise floor: the
distance that two further runs with other seeds stay within, 95 times in 100. It is s * sqrt(2) times
Student's t for n - 1 degrees of freedom, with the standard deviation s over the n runs (the prediction
interval of a difference of two normal values; Student, 1908).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keras_repro.errors import ReproError
from keras_repro.ledger.reader import LedgerReader
from keras_repro.utils.untrusted_json import of_kind

FEWEST = 3

# Two-sided 95% quantiles of Student's t by degrees of freedom.
_T = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228} | {
    12: 2.179, 15: 2.131, 20: 2.086, 30: 2.042, 60: 2.000, 120: 1.980,
}  # fmt: skip


@dataclass(frozen=True)
class NoiseVerdict:
    """One result of two runs against its noise floor.

    Attributes:
        difference: the absolute difference of the two runs.
        floor: the noise floor.
    """

    difference: float
    floor: float

    @property
    def within(self) -> bool:
        """Whether the seed alone explains the difference."""
        return self.difference <= self.floor

    @property
    def share(self) -> float:
        """The difference as a multiple of the floor."""
        return self.difference / self.floor if self.floor else math.inf if self.difference else 0.0


@dataclass(frozen=True)
class NoiseFloor:
    """The noise floor of each result.

    Attributes:
        floors: by the result's name.
        runs: the number of runs it was measured from.
    """

    floors: Mapping[str, float]
    runs: int

    @classmethod
    def of(cls, ledgers: Sequence[LedgerReader]) -> NoiseFloor:
        """Measure the noise floor.

        Args:
            ledgers: at least three finished runs of the same script, each with another seed.

        Raises:
            LedgerError: a ledger is damaged.
            ReproError: there are too few runs, one did not finish, two are the same training, or no result
                is in all of them.
        """
        if len(ledgers) < FEWEST:
            raise ReproError(
                f"a noise floor needs at least {FEWEST} runs with other seeds, got {len(ledgers)}"
            )
        for ledger in ledgers:
            if ledger.status != "finished":
                raise ReproError(f"{ledger.path} did not finish: it cannot be used for the noise floor")
        by_fingerprint: dict[str | None, LedgerReader] = {}
        for ledger in ledgers:
            first = by_fingerprint.setdefault(ledger.fingerprint, ledger)
            if first is not ledger:
                raise ReproError(
                    f"{first.path} and {ledger.path} are the same training: use runs with other seeds"
                )
        results = [results_of(ledger) for ledger in ledgers]
        names = [n for n in results[0] if all(n in other for other in results)]
        if not names:
            raise ReproError("the runs for the noise floor report no number in common")
        factor = _student_t(len(ledgers) - 1) * math.sqrt(2)
        return cls({n: factor * statistics.stdev(r[n] for r in results) for n in names}, len(ledgers))

    def judge(self, a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, NoiseVerdict]:
        """Compare the results that both runs report with their noise floors."""
        return {
            name: NoiseVerdict(abs(a[name] - b[name]), floor)
            for name, floor in self.floors.items()
            if name in a and name in b
        }


def results_of(ledger: LedgerReader) -> dict[str, float]:
    """Return the final results of a run: metrics of each fit's last epoch, and evaluations."""
    last: dict[int, Mapping[str, object]] = {}
    results: dict[str, float] = {}
    for record in ledger.typed_records():
        if record.kind == "epoch" and record.fit is not None:
            last[record.fit] = record.metrics
        elif record.kind == "evaluation":
            results |= _numbers(f"evaluation {(record.index or 0) + 1}: ", record.metrics)
    for fit, metrics in last.items():
        results |= _numbers(f"fit {fit + 1}: " if len(last) > 1 else "", metrics)
    return results


def _numbers(prefix: str, metrics: Mapping[str, object]) -> dict[str, float]:
    numbers = {name: of_kind(value, float) for name, value in metrics.items()}
    return {f"{prefix}{name}": float(number) for name, number in numbers.items() if number is not None}


def _student_t(freedom: int) -> float:
    return _T[max(known for known in _T if known <= freedom)]
