"""Why two runs parted, as a frozen value: the cause, the place, the evidence and the line to change.

>>> said = Explanation(cause="random_state", layer="layers/1", layer_class="Dropout", fix="seed it")
>>> said.to_dict()["layer"]
'layers/1'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """What a diagnosis found.

    Attributes:
        cause: one of the causes of docs/design.md.
        sentence: why, in a sentence.
        place: where it showed first, in words: `"fit 1, epoch 1, step 3"`.
        fit: number of the fit from 0, None outside of one.
        epoch: epoch index from 0, None before the first step.
        step: step in its epoch, from 0, None where it was in no step.
        layer: structural name of the layer, None where no layer has to do with it.
        layer_class: its class.
        variable: structural name of the first variable that differs.
        operation: type of the operation, where one can be had.
        source: `file`, `line` and `code` of the user's line, None where it is not known.
        evidence: what was seen, a line each.
        ruled_out: what was found to be the same, a line each.
        fix: what to change, in one line of code where that can be said.
        trainings: how many trainings the diagnosis took.
    """

    cause: str
    sentence: str = ""
    place: str = ""
    fit: int | None = None
    epoch: int | None = None
    step: int | None = None
    layer: str | None = None
    layer_class: str | None = None
    variable: str | None = None
    operation: str | None = None
    source: Mapping[str, Any] | None = None
    evidence: tuple[str, ...] = ()
    ruled_out: tuple[str, ...] = ()
    fix: str | None = None
    trainings: int = 0

    def to_dict(self) -> dict[str, Any]:
        """The machine form."""
        return {
            "cause": self.cause,
            "sentence": self.sentence,
            "place": self.place,
            "fit": self.fit,
            "epoch": self.epoch,
            "step": self.step,
            "layer": self.layer,
            "layer_class": self.layer_class,
            "variable": self.variable,
            "operation": self.operation,
            "source": None if self.source is None else dict(self.source),
            "evidence": list(self.evidence),
            "ruled_out": list(self.ruled_out),
            "fix": self.fix,
            "trainings": self.trainings,
        }

    def to_divergence(self) -> dict[str, Any]:
        """What `divergence` of a machine form gains: its place stays, but for the step."""
        data = self.to_dict()
        place = {"fit": data.pop("fit"), "epoch": data.pop("epoch"), "step": data.pop("step")}
        gained = {n: data[n] for n in ("cause", "layer", "operation", "source", "evidence", "fix")}
        rest = {n: v for n, v in data.items() if n not in gained}
        step = {} if place["step"] is None else {"step": place["step"]}
        return gained | step | {"diagnosis": rest | place}
