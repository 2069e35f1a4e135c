"""The result of comparing runs: verdict, divergence, distances and grade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.comparison.distances.summary import DistanceSummary
from keras_repro.comparison.divergence import Divergence
from keras_repro.ledger.reader import LedgerReader
from keras_repro.utils.json_record import JsonRecord
from keras_repro.utils.text import escape_control_chars

Name = Literal["bitwise", "ulp", "statistical", "different"]
Verdict = Literal["identical", "diverged", "incomparable"]

FORMAT = 1


@dataclass(frozen=True)
class Grade(JsonRecord):
    """How well two runs agree.

    Attributes:
        name: the grade.
        reason: the reason, in one line.
    """

    name: Name
    reason: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` returns.

    Attributes:
        verdict: `"identical"` only if every digest of both chains was compared and there was at least one.
        runs: `{"ledger", "fingerprint", "status"}` of each run.
        divergence: the first place where two runs differ; None if they do not.
        reason: why the runs are `incomparable`, in one line.
        notes: what is worth knowing but does not change the verdict.
        covers: what the verdict covers, in words.
        within: the part of the training that was run, such as `"the first 2 epochs of each fit"`; empty if
            all of it was.
        compared: the number of chained records that are equal before the end or the divergence.
        how_far: how far apart the weights are where they diverge and at the end; None if they do not.
        grade: how well the runs agree; None if they are incomparable.
        distances: the distances that `how_far` summarizes.
        ledgers: the open ledgers of the runs.
    """

    verdict: Verdict
    runs: tuple[Mapping[str, Any], ...]
    divergence: Divergence | None = None
    reason: str | None = None
    notes: tuple[str, ...] = ()
    covers: str = ""
    within: str = ""
    compared: int = 0
    how_far: DistanceSummary | None = None
    grade: Grade | None = None
    distances: LayerDistances | None = field(default=None, compare=False)
    ledgers: tuple[LedgerReader, ...] = field(default=(), compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, as `--json` writes it."""
        return {
            "format": FORMAT,
            "verdict": self.verdict,
            "runs": [dict(r) for r in self.runs],
            "divergence": None if self.divergence is None else self.divergence.to_dict(),
            "reason": self.reason,
            "notes": list(self.notes),
            "covers": self.covers,
            "within": self.within,
            "compared": self.compared,
            "how_far": None if self.how_far is None else self.how_far.to_dict(),
            "grade": None if self.grade is None else self.grade.to_dict(),
        }

    def __repr__(self) -> str:
        return f"<Comparison {self}>"

    def __str__(self) -> str:
        if self.verdict == "identical":
            over = f" over {self.within}" if self.within else ""
            text = f"identical{over}: {self.covers}; fingerprint {self.runs[0]['fingerprint']}"
            return escape_control_chars(text)
        if self.divergence is not None:
            return f"diverged: {self.divergence.describe()}"
        return escape_control_chars(f"incomparable: {self.reason}")
