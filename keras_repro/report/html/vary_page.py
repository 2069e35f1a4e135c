"""The page of a script under variations of its surroundings, and which of them change its training.

>>> from keras_repro.workflows.vary.results import VariationOutcome, Variations
>>> same = VariationOutcome(name="repeat", changes="nothing", verdict="repeats")
>>> "It repeats" in render_variations(Variations(repeat=same, outcomes=(), baseline="check/run-1"))
True
"""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import Any

from keras_repro.report.charts.cells import BOUNDS, class_in_words, class_of
from keras_repro.report.html.page import render_html
from keras_repro.report.text import short_number
from keras_repro.workflows.vary.results import VariationOutcome, Variations

_KINDS = {"repeats": "identical", "differs": "diverged"}
_DECADES = len(BOUNDS) + 1


def render_variations(variations: Variations, *, script: str = "") -> str:
    """Renders the page.

    Args:
        variations: what `verify --vary` found.
        script: the script and its arguments, as they were given.

    Raises:
        ReproError: jinja2 is not installed.
    """
    repeat = variations.repeat
    # Where it does not even repeat, nothing is said of a variation.
    outcomes = variations.outcomes if repeat.verdict == "repeats" else ()
    # A page is published: of paths, it shows what is below the folder of all runs.
    folder = f"{PurePath(variations.baseline).parent.parent}/"
    by_verdict: dict[str, list[str]] = {}
    for outcome in outcomes:
        by_verdict.setdefault(outcome.verdict, []).append(outcome.name)
    heading, lead, kind = _verdict(repeat, by_verdict)
    return render_html(
        "vary.html.j2",
        title=f"{heading}: {script}" if script else heading,
        script_words=script,
        verdict={"kind": kind, "heading": heading, "lead": lead.replace(folder, "")},
        fingerprint=_fingerprint(repeat, *outcomes),
        notes=[n.replace(folder, "") for n in variations.notes],
        lines=[_line(o, folder) for o in (repeat, *outcomes)],
        counts=[(verdict, len(names), _sign(verdict)) for verdict, names in by_verdict.items()],
    )


def _verdict(repeat: VariationOutcome, by_verdict: dict[str, list[str]]) -> tuple[str, str, str]:
    """Heading, sentence and kind of the verdict."""
    differs, repeats = by_verdict.get("differs", []), by_verdict.get("repeats", [])
    if repeat.verdict == "differs":
        where = f": it parts {repeat.where}" if repeat.where else ""
        text = f"The same script, started again with nothing varied, does not repeat{where}."
        return "It does not repeat", f"{text} No variation is to blame for that.", "diverged"
    if repeat.verdict != "repeats":
        return "Not known", f"The plain repeat {repeat.verdict}: {repeat.reason}", "incomparable"
    if differs:
        text = f"It repeats where nothing is varied, and changes with {_listed(differs)}."
        return f"It depends on {len(differs)} of {_count(len(differs) + len(repeats))}", text, "diverged"
    tried = f" and under {_count(len(repeats))}" if repeats else ""
    text = f"The same bits, with nothing varied{tried}."
    if failed := by_verdict.get("could not run", []):
        return (
            "It repeats where it could run",
            f"{text} It could not run under {_listed(failed)}.",
            "incomparable",
        )
    return ("It repeats" if repeats else "It repeats, unvaried"), text, "identical"


def _fingerprint(*outcomes: VariationOutcome) -> str | None:
    compared = [o.comparison for o in outcomes if o.comparison is not None]
    return str(compared[0].runs[0]["fingerprint"]) if compared else None


def _line(outcome: VariationOutcome, folder: str) -> dict[str, Any]:
    distance = outcome.distance
    number = class_of(distance) if distance is not None else None
    bar = None
    if number and distance is not None:
        decades = _DECADES if math.isinf(distance) else math.log10(distance) - math.log10(BOUNDS[0]) + 1
        bar = {"width": round(100 * min(max(decades, 0.3), _DECADES) / _DECADES, 1), "class": number}
    return {
        "name": outcome.name,
        "changes": _changes(outcome),
        "verdict": outcome.verdict,
        "sign": _sign(outcome.verdict),
        "where": outcome.where,
        "reason": outcome.reason.replace(folder, ""),
        "pin": outcome.pin if outcome.verdict == "differs" else "",
        "cause": _cause(outcome),
        "distance": "" if distance is None else short_number(distance),
        "words": "" if number is None else class_in_words(number),
        "bar": bar,
        "ledger": _short_path(outcome.ledger),
    }


def _changes(outcome: VariationOutcome) -> str:
    told = not outcome.change or outcome.change == outcome.changes
    return outcome.changes if told else f"{outcome.changes} ({outcome.change})"


def _cause(outcome: VariationOutcome) -> str:
    """Why it differs, in a line, where that was looked for."""
    said = outcome.explanation
    if said is None:
        return ""
    where = " ".join(w for w in (said.layer_class, said.layer) if w)
    return f"{said.cause}{f' in {where}' if where else ''}{f': {said.sentence}' if said.sentence else ''}"


def _sign(verdict: str) -> str:
    return _KINDS.get(verdict, "untried" if verdict == "not tried" else "incomparable")


def _short_path(path: str | None) -> str:
    """Of a path, only the run's folder."""
    parts = PurePath(str(path)).parts if path else ()
    return "/".join(parts[-2:])


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _count(number: int) -> str:
    return f"{number} variation{'' if number == 1 else 's'}"
