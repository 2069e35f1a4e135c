"""The place of a record in words. Fits, epochs and results are 0-based in records, 1-based in text.

>>> position_text("epoch", fit=3, epoch=7, epochs=10, fits=5)
'epoch 8/10 of fit 4/5'
>>> position_text("evaluation", index=0), section_text("weights after fit 0")
('evaluation 1', 'weights after fit 1')
>>> column_label("epoch", 1, 0, several_fits=True)
'fit 2, epoch 1'
"""

from __future__ import annotations

import re

_NUMBERED = re.compile(r" after (fit|loop) (\d{1,9})$")


def fit_text(fit: int | None, fits: int | None = None, *, always: bool = False) -> str:
    """Return `"fit 4/5"`; empty outside fit, and for the only fit.

    Args:
        fit: the fit's number, from 0; None outside fit.
        fits: the number of fits; None if unknown.
        always: whether to name the only fit too.
    """
    if fit is None or (fit == 0 and (fits or 0) < 2 and not always):
        return ""
    return f"fit {fit + 1}" + (f"/{fits}" if fits and fit < fits else "")


def position_text(
    kind: str,
    *,
    fit: int | None = None,
    epoch: int | None = None,
    index: int | None = None,
    epochs: int | None = None,
    fits: int | None = None,
    always_fit: bool = False,
) -> str:
    """Return the place of a record: `"epoch 8/10 of fit 4/5"`, `"the start"`, `"evaluation 2"`.

    Args:
        kind: the record's kind.
        fit: the fit's number, from 0; None outside fit.
        epoch: the epoch's index, from 0; None before the first epoch and outside fit.
        index: the index of an evaluation, prediction or loop, from 0; None inside fit.
        epochs: the requested number of epochs; None if unknown.
        fits: the number of fits; None if unknown.
        always_fit: whether to name the only fit too.
    """
    of_fit = f" of {text}" if (text := fit_text(fit, fits, always=always_fit)) else ""
    if kind == "epoch" and epoch is not None:
        return f"epoch {epoch + 1}" + (f"/{epochs}" if epochs else "") + of_fit
    if kind in ("fit", "start"):
        return f"the start{of_fit}"
    if kind == "exit":
        return "the script's exit"
    if kind == "birth":
        return f"the first step{of_fit}" if index is None else f"the first step of loop {index + 1}"
    return f"{kind} {index + 1}" if index is not None else f"the {kind}{of_fit}"


def column_label(kind: str, fit: int, epoch: int | None = None, *, several_fits: bool) -> str:
    """Return a short label of a place in a fit: `"epoch 1"`, `"start"`, `"fit 2, epoch 1"`.

    Args:
        kind: the record's kind.
        fit: the fit's number, from 0.
        epoch: the epoch's index, from 0; None outside epochs.
        several_fits: whether to name the fit.
    """
    label = kind if epoch is None else f"{kind} {epoch + 1}"
    return f"fit {fit + 1}, {label}" if several_fits else label


def section_text(section: str) -> str:
    """Return a section's name, with the number of a fit or loop in it counted from 1."""
    return _NUMBERED.sub(lambda m: f" after {m[1]} {int(m[2]) + 1}", section)
