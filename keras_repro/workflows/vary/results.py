"""The results of the variations of a script, as frozen values.

>>> VariationOutcome(name="locale", changes="LC_ALL", verdict="repeats").to_dict()["verdict"]
'repeats'
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from keras_repro.comparison.result import Comparison
from keras_repro.root_cause.explanation import Explanation

Verdict = Literal["repeats", "differs", "could not run", "not tried"]

# Names of the two runs without a variation, and of their folders.
BASELINE, REPEAT = "baseline", "repeat"


@dataclass(frozen=True, kw_only=True)
class VariationOutcome:
    """The result of one variation.

    Attributes:
        name: its name in the catalogue; `"repeat"` for the plain repeat.
        changes: what it changes, in a line.
        verdict: `"repeats"`, `"differs"`, `"could not run"` or `"not tried"`.
        where: where it diverged from the baseline: `"epoch 3 of fit 1"`; empty if it did not.
        distance: the largest relative distance over the layers at that place; None if it is not known.
        reason: why it could not run or was not tried.
        ledger: path of its ledger, None without one.
        change: what was changed here, such as `"2 -> 1"`.
        why: why it should not matter.
        pin: how to make a script independent of it.
        output: the last lines that the script printed, if it could not run.
        seconds: wall time of its training.
        comparison: with the baseline, None without one.
        explanation: why it differs; None if that was not diagnosed.
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
        """Return the machine form."""
        data = dict(vars(self))
        for name in ("comparison", "explanation"):
            value = getattr(self, name)
            data[name] = None if value is None else value.to_dict()
        return data | {"seconds": round(self.seconds, 3)}


@dataclass(frozen=True, kw_only=True)
class Variations:
    """The results of all variations of a script.

    Attributes:
        repeat: the plain repeat of the baseline.
        outcomes: of each chosen variation, in the catalogue's order.
        baseline: path of the baseline's ledger.
        trainings: how many trainings it took, without those of a diagnosis.
        notes: notes that change no verdict.
    """

    repeat: VariationOutcome
    outcomes: tuple[VariationOutcome, ...]
    baseline: str
    trainings: int = 0
    notes: tuple[str, ...] = ()

    def with_verdict(self, *verdicts: Verdict) -> tuple[VariationOutcome, ...]:
        """Return the outcomes with one of these verdicts."""
        return tuple(o for o in self.outcomes if o.verdict in verdicts)

    def to_dict(self) -> dict[str, Any]:
        """Return the machine form, as `--json` writes it."""
        return {
            "format": 1,
            "baseline": self.baseline,
            "repeat": self.repeat.to_dict(),
            "variations": [o.to_dict() for o in self.outcomes],
            "trainings": self.trainings,
            "notes": list(self.notes),
        }
