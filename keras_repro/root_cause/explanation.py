"""Why two runs diverged, as a frozen value: the cause, the place, the evidence and the line to change.

>>> explanation = Explanation(cause="random_state", layer="layers/1", layer_class="Dropout", fix="seed it")
>>> explanation.to_dict()["layer"]
'layers/1'
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from keras_repro.root_cause.fix_trial import FixTrial
from keras_repro.utils.source_line import SourceLine


@dataclass(frozen=True, kw_only=True)
class FurtherSource:
    """A line that makes the runs differ independently of the cause, and what to change in it."""

    source: SourceLine
    fix: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {"source": self.source.to_dict(), "fix": self.fix}


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The result of a diagnosis.

    Attributes:
        cause: one of the causes of docs/design.md.
        sentence: why, in a sentence.
        place: where the divergence showed first, in words: `"fit 1, epoch 1, step 3"`.
        fit: number of the fit from 0, None outside a fit.
        epoch: epoch from 0, None before the first step.
        step: step in its epoch, from 0, None outside a step.
        layer: structural name of the layer, None if no layer is involved.
        layer_class: its class.
        variable: structural name of the first variable that differs.
        operation: type of the operation, None if no operation is involved.
        subject: what differs, in words, if it is no tensor, such as `"y given to fit"`; else None.
        source: the user's line, None if it is not known.
        evidence: what was observed, a line each.
        ruled_out: what was found to agree, a line each.
        fix: what to change, as one line of code if possible.
        also: other lines that must be changed too, each with its fix.
        trainings: number of trainings of the diagnosis.
        race: whether threads, or other work in parallel, came in another order.
        fix_tried: what came of trying the fix, None if it was not tried.
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
    subject: str | None = None
    source: SourceLine | None = None
    evidence: tuple[str, ...] = ()
    ruled_out: tuple[str, ...] = ()
    fix: str | None = None
    also: tuple[FurtherSource, ...] = ()
    trainings: int = 0
    race: bool = False
    fix_tried: FixTrial | None = None

    def describe_layer(self) -> str:
        """Return class and name of the layer: `"Dropout layers/1"`; empty if no layer is involved."""
        return " ".join(name for name in (self.layer_class, self.layer) if name)

    def describe_cause(self, *, with_layer: bool = False) -> str:
        """Return the cause and the reason in one line: `"random_state: the seed generator of ... differs"`.

        Args:
            with_layer: whether the layer is named after the cause.
        """
        layer = self.describe_layer() if with_layer else ""
        cause = f"{self.cause} in {layer}" if layer else self.cause
        return f"{cause}: {self.sentence}" if self.sentence else cause

    def with_lines(self, original: Callable[[SourceLine | None], SourceLine | None]) -> Explanation:
        """Return the explanation with each line replaced by what `original` returns for it."""
        also = tuple(replace(f, source=original(f.source) or f.source) for f in self.also)
        return replace(self, source=original(self.source), also=also)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form."""
        source = None if self.source is None else self.source.to_dict()
        return {
            **asdict(self),
            "source": source,
            "evidence": list(self.evidence),
            "ruled_out": list(self.ruled_out),
            "also": [further.to_dict() for further in self.also],
        }

    def to_divergence(self, recorded: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the `divergence` of a comparison's JSON form gains; it keeps its place.

        Args:
            recorded: the divergence. It gains a step only if the diagnosed runs diverged in its epoch. Its
                cause, which the ledgers alone show, becomes the `recorded_cause` of the diagnosis.
        """
        data = self.to_dict()
        place = {"fit": data.pop("fit"), "epoch": data.pop("epoch"), "step": data.pop("step")}
        gained = {n: data.pop(n) for n in ("cause", "layer", "operation", "source", "evidence", "fix")}
        same_epoch = all(recorded.get(name) == place[name] for name in ("fit", "epoch"))
        if same_epoch and recorded.get("step") is None:
            gained["step"] = place["step"]
        return gained | {"diagnosis": data | place | {"recorded_cause": recorded.get("cause")}}
