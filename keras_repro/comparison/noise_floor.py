"""How much of a difference between two runs only their seeds make, from further runs with other seeds.

    floor = NoiseFloor.of(["runs/seed-1", "runs/seed-2", "runs/seed-3"])
    floor.judge({"loss": 0.31}, {"loss": 0.33})["loss"].within                # True

For each number that all runs report in the end (the metrics of the last epoch, evaluations), the noise floor
is the distance that two further runs with seeds of their own would stay within 95 times in 100: s * sqrt(2)
times Student's t for n - 1 degrees of freedom, where s is the standard deviation over the n runs (the
prediction interval of a difference of two normal values; Student, 1908).
"""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keras_repro.errors import ReproError
from keras_repro.ledger.reader import LedgerReader, open_ledger

FEWEST = 3

# Two-sided 95% quantiles of Student's t by degrees of freedom.
_T = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228} | {
    12: 2.179, 15: 2.131, 20: 2.086, 30: 2.042, 60: 2.000, 120: 1.980,
}  # fmt: skip


@dataclass(frozen=True)
class NoiseVerdict:
    """One number of two runs against the noise floor.

    Attributes:
        difference: of the two runs, without its sign.
        floor: the noise floor.
    """

    difference: float
    floor: float

    @property
    def within(self) -> bool:
        """Whether seeds alone explain it."""
        return self.difference <= self.floor

    @property
    def share(self) -> float:
        """The difference as a multiple of the floor."""
        return self.difference / self.floor if self.floor else math.inf if self.difference else 0.0


@dataclass(frozen=True)
class NoiseFloor:
    """The noise floor of each number.

    Attributes:
        floors: by name.
        runs: how many runs it is from.
    """

    floors: Mapping[str, float]
    runs: int

    @classmethod
    def of(cls, runs: Sequence[str | os.PathLike[str]]) -> NoiseFloor:
        """Measures it.

        Args:
            runs: at least three finished runs of the same script with seeds of their own.

        Raises:
            LedgerError: one of them cannot be read.
            ReproError: they are too few, one did not finish, two are the same training, or no number is in
                all of them.
        """
        files = [open_ledger(r) for r in runs]
        if len(files) < FEWEST:
            raise ReproError(
                f"a noise floor needs at least {FEWEST} runs with other seeds, given {len(files)}"
            )
        for file in files:
            if file.status != "finished":
                raise ReproError(f"{file.path} did not finish: it cannot tell of noise")
        known: dict[str | None, LedgerReader] = {}
        for file in files:
            first = known.setdefault(file.fingerprint, file)
            if first is not file:
                raise ReproError(
                    f"{first.path} and {file.path} are the same training: noise needs other seeds"
                )
        found = [results_of(file) for file in files]
        names = [n for n in found[0] if all(n in other for other in found)]
        if not names:
            raise ReproError("the runs for the noise floor have no number in common that they all report")
        factor = _t(len(files) - 1) * math.sqrt(2)
        return cls({n: factor * statistics.stdev(f[n] for f in found) for n in names}, len(files))

    def judge(self, a: Mapping[str, float], b: Mapping[str, float]) -> dict[str, NoiseVerdict]:
        """Two runs' numbers against it: those that both have."""
        return {
            name: NoiseVerdict(abs(a[name] - b[name]), floor)
            for name, floor in self.floors.items()
            if name in a and name in b
        }


def results_of(file: LedgerReader) -> dict[str, float]:
    """The numbers that a run reports in the end: metrics of each fit's last epoch, and evaluations."""
    last: dict[int, Mapping[str, object]] = {}
    found: dict[str, float] = {}
    for record in file.typed_records():
        if record.kind == "epoch" and record.fit is not None:
            last[record.fit] = record.metrics
        elif record.kind == "evaluation":
            found |= _numbers(f"evaluation {(record.index or 0) + 1}: ", record.metrics)
    for fit, metrics in last.items():
        found |= _numbers(f"fit {fit + 1}: " if len(last) > 1 else "", metrics)
    return found


def _numbers(prefix: str, metrics: Mapping[str, object]) -> dict[str, float]:
    plain = {n: v for n, v in metrics.items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return {f"{prefix}{name}": float(value) for name, value in plain.items()}


def _t(freedom: int) -> float:
    return _T[max(known for known in _T if known <= freedom)]
