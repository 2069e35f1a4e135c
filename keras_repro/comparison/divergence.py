"""The first place where two runs differ, as a frozen value and in words.

>>> divergence = Divergence(kind="epoch", fit=0, epoch=7, section="weights", tensor="layers/0/kernel")
>>> divergence.describe()
'at epoch 8: weights differ, first in layers/0/kernel'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from keras_repro.ledger.position_text import fit_in_words, section_in_words
from keras_repro.utils.text import escape_control_chars


@dataclass(frozen=True, kw_only=True)
class Divergence:
    """Where two runs parted, counted from 0.

    Attributes:
        kind: the record in which they differ (`"start"`, `"birth"`, `"epoch"`, `"evaluation"`, ...).
        fit: number of the fit, None outside fit.
        epoch: epoch index, None before the first epoch and outside fit.
        step: in an epoch, the index from 0 of the first recorded step that differs; of a loop of
            `train_on_batch`, the number of steps that it had made by then; None where no step is known.
        index: number of the evaluation or prediction, None inside fit.
        section: the first section that differs, such as `"weights"`.
        tensor: the structural name of the first tensor that differs.
        keras_name: the name that Keras gives it.
        cause: one of the causes of docs/design.md.
        tensors: all that differ there, each `{"section", "tensor"}`.
        explanation: why, and what to do, in a sentence.
        ended: set where nothing differs but one run has more records.
        structure: set where the models differ in structure.
        epochs: how many epochs the fit was asked for.
        fits: how many fits the run has, None where that is not known.
    """

    kind: str
    fit: int | None = None
    epoch: int | None = None
    step: int | None = None
    index: int | None = None
    section: str | None = None
    tensor: str | None = None
    keras_name: str | None = None
    cause: str = "unknown"
    tensors: tuple[Mapping[str, str], ...] = ()
    explanation: str | None = None
    ended: str | None = None
    structure: str | None = None
    epochs: int | None = None
    fits: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The machine form."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        data["tensors"] = [dict(t) for t in self.tensors]
        return data

    def place(self) -> str:
        """Where, in words: `"at epoch 8/10 of fit 2/5"`; people count from 1."""
        fit = f" of {named}" if (named := fit_in_words(self.fit, self.fits)) else ""
        number = None if self.index is None else self.index + 1
        if self.index is not None and (self.kind == "birth" or self.step == 0):
            return f"before the first step of loop {number} (outside fit)"
        if self.kind == "loop" and self.step is not None:
            return f"after {self.step} step{'' if self.step == 1 else 's'} of loop {number} (outside fit)"
        if self.kind in ("fit", "start", "birth"):
            return f"before the first epoch{fit}"
        if self.kind == "epoch" and self.epoch is not None:
            by_step = "" if self.step is None else f", by step {self.step + 1}"
            return f"at epoch {self.epoch + 1}" + (f"/{self.epochs}" if self.epochs else "") + fit + by_step
        if self.kind == "end":
            return f"at the end{fit}"
        if self.index is not None:
            return f"in {self.kind} {number} (outside fit)"
        return "at the script's exit" if self.kind == "exit" else f"in {self.kind}"

    def describe(self) -> str:
        """Where and what, in one line; control characters in it are escaped."""
        if self.ended is not None:
            return escape_control_chars(self.ended)
        if self.structure is not None:
            return escape_control_chars(f"{self.place()}: {self.structure}")
        text = f"{self.place()}: {self._what()}"
        return escape_control_chars(f"{text}; {self.explanation}" if self.explanation else text)

    def _what(self) -> str:
        names = {
            "weights": "weights differ",
            "optimizer": "the optimizer's state differs",
            "seeds": "random state differs",
            "order": "the order of the data differs",
            "metrics": "metrics differ, weights do not",
            "results": "results differ",
        }
        at_start = self.kind in ("start", "birth") or (self.kind == "loop" and self.step == 0)
        if at_start and self.section == "weights":
            names["weights"] = "initial weights differ"
        what = names.get(str(self.section), f"{section_in_words(str(self.section))} differ")
        if self.tensor is None or self.section in ("order",):
            return what
        shown = self.tensor
        if self.keras_name and self.keras_name != self.tensor:
            shown += f" ({self.keras_name})"
        more = len(self.tensors) - 1
        return f"{what}, first in {shown}" + (f" and {more} more" if more > 0 else "")
