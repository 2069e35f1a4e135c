"""Where a record stands in its run, in words: people count fits, epochs and results from 1, records from 0.

>>> position_text("epoch", fit=3, epoch=7, epochs=10, fits=5)
'epoch 8/10 of fit 4/5'
>>> position_text("evaluation", index=0), section_in_words("weights after fit 0")
('evaluation 1', 'weights after fit 1')
"""

from __future__ import annotations

import re

_NUMBERED = re.compile(r" after (fit|loop) (\d{1,9})$")


def fit_in_words(fit: int | None, fits: int | None = None) -> str:
    """`"fit 4/5"`; empty outside fit, and where there is only one.

    Args:
        fit: its number from 0.
        fits: how many fits there are, None where that is not known.
    """
    if fit is None or (fit == 0 and (fits or 0) < 2):
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
) -> str:
    """Where a record stands: `"epoch 8/10 of fit 4/5"`, `"the start"`, `"evaluation 2"`.

    Args:
        kind: the record's kind.
        fit: number of the fit, from 0.
        epoch: its index, from 0.
        index: of an evaluation, prediction or loop, from 0.
        epochs: how many epochs the fit was asked for, None where that is not known.
        fits: how many fits there are, None where that is not known.
    """
    of_fit = f" of {named}" if (named := fit_in_words(fit, fits)) else ""
    if kind == "epoch" and epoch is not None:
        return f"epoch {epoch + 1}" + (f"/{epochs}" if epochs else "") + of_fit
    if kind in ("fit", "start"):
        return f"the start{of_fit}"
    if kind == "birth":
        return f"the first step{of_fit}" if index is None else f"the first step of loop {index + 1}"
    return f"{kind} {index + 1}" if index is not None else f"the {kind}{of_fit}"


def section_in_words(section: str) -> str:
    """A section's name, with the fit or loop in it counted from 1."""
    return _NUMBERED.sub(lambda m: f" after {m[1]} {int(m[2]) + 1}", section)
