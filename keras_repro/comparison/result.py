"""What a comparison of two runs found, and how well they agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.comparison.distances.summary import DistanceSummary
from keras_repro.comparison.divergence import Divergence
from keras_repro.utils.text import escape_control_chars

Name = Literal["bitwise", "ulp", "statistical", "different"]


@dataclass(frozen=True)
class Grade:
    """How well two runs agree.

    Attributes:
        name: the grade.
        reason: why, in a line.
    """

    name: Name
    reason: str

    def to_dict(self) -> dict[str, str]:
        """The machine form."""
        return {"name": self.name, "reason": self.reason}


Verdict = Literal["identical", "diverged", "incomparable"]

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` found.

    Attributes:
        verdict: `"identical"` only when every digest of both chains was compared and there was one.
        runs: `{"ledger", "fingerprint", "status"}` of each run.
        divergence: the first place where two of them differ.
        reason: why they are `incomparable`, in a line.
        notes: what is worth knowing and changes no verdict.
        covers: what the verdict covers, in words.
        within: the part of the training that was run, such as `"the first 2 epochs of each fit"`; empty
            where nothing was capped.
        compared: how many records of the chain were equal before the end or the divergence.
        how_far: how far apart the weights are where they part and in the end; None where they are the same.
        grade: how well they agree; None where they are incomparable.
        distances: what `how_far` was taken from: where the weights part, and the last place.
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

    def to_dict(self) -> dict[str, Any]:
        """The machine form, as `--json` writes it."""
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
            return escape_control_chars(
                f"identical{over}: {self.covers}; fingerprint {self.runs[0]['fingerprint']}"
            )
        if self.divergence is not None:
            return f"diverged: {self.divergence.describe()}"
        return escape_control_chars(f"incomparable: {self.reason}")
