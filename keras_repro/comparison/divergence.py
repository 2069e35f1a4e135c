"""The first place where two runs differ, as a value and in words.

>>> divergence = Divergence(kind="epoch", fit=0, epoch=7, section="weights", tensor="layers/0/kernel")
>>> divergence.describe()
'at epoch 8: weights differ, first in layers/0/kernel'
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keras_repro.ledger.position_text import fit_text, position_text, section_text
from keras_repro.utils.json_record import JsonRecord
from keras_repro.utils.text import escape_control_chars


@dataclass(frozen=True, kw_only=True)
class Divergence(JsonRecord):
    """Where two runs diverged. All numbers are 0-based.

    Attributes:
        kind: the kind of the record that differs (`"start"`, `"birth"`, `"epoch"`, `"evaluation"`, ...).
        fit: the fit's number; None outside fit.
        epoch: the epoch's index; None before the first epoch and outside fit.
        step: in an epoch, the index of the first recorded step that differs; in a loop of `train_on_batch`,
            the number of steps made by then; None if unknown.
        index: the number of the evaluation or prediction; None inside fit.
        section: the first section that differs, such as `"weights"`.
        tensor: the structural name of the first tensor that differs.
        keras_name: the name that Keras gives it.
        cause: one of the causes in docs/design.md.
        tensors: all tensors that differ there, each as `{"section", "tensor"}`.
        explanation: the reason and the remedy, in one sentence.
        ended: set if no record differs, but one run has more records.
        structure: set if the structures of the models differ.
        epochs: the requested number of epochs of the fit.
        fits: the number of fits in the run; None if unknown.
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

    def place(self) -> str:
        """Return the place in words, 1-based: `"at epoch 8/10 of fit 2/5"`."""
        fit = f" of {text}" if (text := fit_text(self.fit, self.fits)) else ""
        number = None if self.index is None else self.index + 1
        if self.index is not None and (self.kind == "birth" or self.step == 0):
            return f"before the first step of loop {number} (outside fit)"
        if self.kind == "loop" and self.step is not None:
            return f"after {self.step} step{'' if self.step == 1 else 's'} of loop {number} (outside fit)"
        if self.kind in ("fit", "start", "birth"):
            return f"before the first epoch{fit}"
        if self.kind == "epoch" and self.epoch is not None:
            by_step = "" if self.step is None else f", by step {self.step + 1}"
            epoch = position_text(
                self.kind, fit=self.fit, epoch=self.epoch, epochs=self.epochs, fits=self.fits
            )
            return f"at {epoch}{by_step}"
        if self.kind == "end":
            return f"at the end{fit}"
        if self.index is not None:
            return f"in {self.kind} {number} (outside fit)"
        return "at the script's exit" if self.kind == "exit" else f"in {self.kind}"

    def short_place(self) -> str:
        """Return the place for a table, 1-based: `"epoch 8 of fit 2"`."""
        if self.kind == "loop" and self.step:
            return f"step {self.step} of loop {(self.index or 0) + 1}"
        return position_text(self.kind, fit=self.fit, epoch=self.epoch, index=self.index, always_fit=True)

    def describe(self) -> str:
        """Return place and difference in one line; control characters are escaped."""
        if self.ended is not None:
            return escape_control_chars(self.ended)
        if self.structure is not None:
            return escape_control_chars(f"{self.place()}: {self.explanation or self.structure}")
        text = f"{self.place()}: {self._what()}"
        return escape_control_chars(f"{text}; {self.explanation}" if self.explanation else text)

    def _what(self) -> str:
        names = {
            "weights": "weights differ",
            "optimizer": "the optimizer's state differs",
            "captured": "variables that the training step captures differ",
            "seeds": "random state differs",
            "order": "the order of the data differs",
            "metrics": "metrics differ, weights do not",
            "results": "results differ",
        }
        at_start = self.kind in ("start", "birth") or (self.kind == "loop" and self.step == 0)
        if at_start and self.section == "weights":
            names["weights"] = "initial weights differ"
        what = names.get(str(self.section), f"{section_text(str(self.section))} differ")
        if self.tensor is None or self.section == "order":
            return what
        name = self.tensor
        if self.keras_name and self.keras_name != self.tensor:
            name += f" ({self.keras_name})"
        more = len(self.tensors) - 1
        return f"{what}, first in {name}" + (f" and {more} more" if more > 0 else "")
