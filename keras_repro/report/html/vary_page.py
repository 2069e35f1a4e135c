"""Render the page of a script under changed conditions, and which of them change its training.

>>> from keras_repro.workflows.vary.results import VariationOutcome, Variations
>>> same = VariationOutcome(name="repeat", changes="nothing", verdict="repeats")
>>> "Reproducible" in render_variations(Variations(repeat=same, outcomes=(), baseline="check/run-1"))
True
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from keras_repro.report.charts.cells import BOUNDS, class_in_words, class_of
from keras_repro.report.html.page import render_html
from keras_repro.report.text import counted, short_number
from keras_repro.workflows.vary.results import VariationOutcome, Variations

_SIGNS = {"repeats": "identical", "differs": "diverged", "not tried": "untried"}
_DECADES = len(BOUNDS) + 1


def render_variations(variations: Variations, *, script: str = "") -> str:
    """Render the page.

    Args:
        variations: the result of `verify --vary`.
        script: the script and its arguments, as they were given.

    Raises:
        ReproError: jinja2 is not installed.
    """
    repeat = variations.repeat
    # If not even the repeat agrees, the variations say nothing.
    outcomes = variations.outcomes if repeat.verdict == "repeats" else ()
    # Pages are published: show only the part of a path that is below the folder of all runs.
    folder = f"{PurePath(variations.baseline).parent.parent}/"
    by_verdict: dict[str, list[str]] = {}
    for outcome in outcomes:
        by_verdict.setdefault(outcome.verdict, []).append(outcome.name)
    heading, lead, kind = _verdict(repeat, by_verdict)
    compared = [o.comparison for o in (repeat, *outcomes) if o.comparison is not None]
    return render_html(
        "vary.html.j2",
        title=f"{heading}: {script}" if script else heading,
        script_words=script,
        verdict={"kind": kind, "heading": heading, "lead": lead.replace(folder, "")},
        fingerprint=str(compared[0].runs[0]["fingerprint"]) if compared else None,
        notes=[n.replace(folder, "") for n in variations.notes],
        lines=[_line(o, folder) for o in (repeat, *outcomes)],
        counts=[(verdict, len(names), _sign(verdict)) for verdict, names in by_verdict.items()],
    )


def _verdict(repeat: VariationOutcome, by_verdict: Mapping[str, Sequence[str]]) -> tuple[str, str, str]:
    """Return heading, sentence and kind of the verdict."""
    differs, repeats = by_verdict.get("differs", []), by_verdict.get("repeats", [])
    if repeat.verdict == "differs":
        at = f" at {repeat.where}" if repeat.where else ""
        text = f"A second run under unchanged conditions diverges{at}, so no variation was run."
        return "Not reproducible", text, "diverged"
    if repeat.verdict != "repeats":
        text = f"The repeat under unchanged conditions {repeat.verdict}: {repeat.reason}"
        return "Unknown", text, "incomparable"
    if differs:
        heading = f"Depends on {len(differs)} of {counted(len(differs) + len(repeats), 'variation')}"
        text = f"The training repeats under unchanged conditions, and changes with {_listed(differs)}."
        return heading, text, "diverged"
    also = f" and under {counted(len(repeats), 'variation')}" if repeats else ""
    text = f"Bit-identical under unchanged conditions{also}."
    if untried := by_verdict.get("not tried"):
        text += f" Not tried: {_listed(untried)}."
    if failed := by_verdict.get("could not run"):
        text += f" The script could not run under {_listed(failed)}."
        return "Reproducible where it could run", text, "incomparable"
    if not repeats:
        return "Reproducible, nothing varied", text, "incomparable"
    return "Reproducible", text, "identical"


def _line(outcome: VariationOutcome, folder: str) -> dict[str, Any]:
    distance, explanation = outcome.distance, outcome.explanation
    number = None if distance is None else class_of(distance)
    bar = None
    if number and distance is not None:
        decades = _DECADES if math.isinf(distance) else math.log10(distance) - math.log10(BOUNDS[0]) + 1
        bar = {"width": round(100 * min(max(decades, 0.3), _DECADES) / _DECADES, 1), "class": number}
    new_value = outcome.change and outcome.change != outcome.changes
    return {
        "name": outcome.name,
        "changes": f"{outcome.changes} ({outcome.change})" if new_value else outcome.changes,
        "verdict": outcome.verdict,
        "sign": _sign(outcome.verdict),
        "where": outcome.where,
        "reason": outcome.reason.replace(folder, ""),
        "pin": outcome.pin if outcome.verdict == "differs" else "",
        "cause": explanation.describe_cause(with_layer=True) if explanation is not None else "",
        "distance": "" if distance is None else short_number(distance),
        "words": "" if number is None else class_in_words(number),
        "bar": bar,
        "ledger": "/".join(PurePath(outcome.ledger or "").parts[-2:]),
    }


def _sign(verdict: str) -> str:
    return _SIGNS.get(verdict, "incomparable")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
