"""What became of the variations of a script's surroundings, as frozen values.

>>> VariationOutcome(name="locale", changes="LC_ALL", verdict="repeats").to_dict()["verdict"]
'repeats'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from keras_repro.comparison.result import Comparison
from keras_repro.root_cause.explanation import Explanation

Verdict = Literal["repeats", "differs", "could not run", "not tried"]


@dataclass(frozen=True, kw_only=True)
class VariationOutcome:
    """What became of one variation.

    Attributes:
        name: its name in the catalogue; `"repeat"` for the plain repeat.
        changes: what it changes, a line.
        verdict: `"repeats"`, `"differs"`, `"could not run"` or `"not tried"`.
        where: where it parted from the baseline: `"epoch 3 of fit 1"`; empty where it did not.
        distance: how far apart they were there: relative, the largest over the layers; None if not known.
        reason: why it could not run or was not tried.
        ledger: its ledger, None where there is none.
        change: what was changed here, such as `"2 -> 1"`.
        why: why it should not matter.
        pin: what makes a script independent of it.
        output: the last lines that the script printed, where it could not run.
        seconds: wall time of its training.
        comparison: with the baseline, None where there is none.
        explanation: why it differs, where that was looked for.
    """

    name: str
    changes: str
    verdict: Verdict
    where: str = ""
    distance: float | None = None
    reason: str = ""
    ledger: str | None = None
    change: str = ""
    why: str = ""
    pin: str = ""
    output: str = ""
    seconds: float = 0.0
    comparison: Comparison | None = None
    explanation: Explanation | None = None

    def to_dict(self) -> dict[str, Any]:
        """The machine form."""
        data = dict(vars(self))
        for name in ("comparison", "explanation"):
            value = getattr(self, name)
            data[name] = None if value is None else value.to_dict()
        return data | {"seconds": round(self.seconds, 3)}


@dataclass(frozen=True, kw_only=True)
class Variations:
    """What varying a script's surroundings found.

    Attributes:
        repeat: the plain repeat of the baseline.
        outcomes: of each variation that was asked for, in the catalogue's order.
        baseline: the baseline's ledger.
        trainings: how many trainings it took, those of a diagnosis left out.
        notes: what is worth knowing and changes no verdict.
    """

    repeat: VariationOutcome
    outcomes: tuple[VariationOutcome, ...]
    baseline: str
    trainings: int = 0
    notes: tuple[str, ...] = ()

    def with_verdict(self, *verdicts: Verdict) -> tuple[VariationOutcome, ...]:
        """The outcomes with one of some verdicts."""
        return tuple(o for o in self.outcomes if o.verdict in verdicts)

    def to_dict(self) -> dict[str, Any]:
        """The machine form, as `--json` writes it."""
        return {
            "format": 1,
            "baseline": self.baseline,
            "repeat": self.repeat.to_dict(),
            "variations": [o.to_dict() for o in self.outcomes],
            "trainings": self.trainings,
            "notes": list(self.notes),
        }
