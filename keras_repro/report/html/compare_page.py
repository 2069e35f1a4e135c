"""Render the page of two runs: verdict, heat map, curves, evidence, environment; one HTML file.

>>> from keras_repro.comparison.compare import compare
>>> text = render_comparison(compare("check/run-1", "check/run-2"), None)
>>> "Identical, bit for bit" in text, "://" in text
(True, False)

Pages are published: paths of this machine appear as "run A" and "run B".
"""

from __future__ import annotations

from typing import Any

from keras_repro._version import __version__
from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.comparison.result import Comparison
from keras_repro.report import environment_text
from keras_repro.report.charts.heat_map import curve_axis, heat_map_of
from keras_repro.report.charts.metric_curves import chart_of, chosen_metrics
from keras_repro.report.html.environment_diff import header_facts
from keras_repro.report.html.evidence import digest_lines, distance_in_words, exact_tables
from keras_repro.report.html.page import render_html
from keras_repro.report.run_pair import RunPair, read_pair
from keras_repro.report.text import counted
from keras_repro.utils.untrusted_json import as_mapping

_MOST_CHARTS = 4
_MOST_FACTS = 60
_MOST_NOTES = 60
_CHART_HEIGHTS = (190, 130)  # pixels: of the first, and of all others

_HEADINGS = {
    "identical": "Identical, bit for bit",
    "diverged": "The runs diverged",
    "incomparable": "Not comparable",
}


def render_comparison(comparison: Comparison, distances: LayerDistances | None) -> str:
    """Render the page.

    Args:
        comparison: the comparison of the runs.
        distances: the distances of their layers; None if they are unknown.

    Raises:
        LedgerError: a ledger cannot be read.
        ReproError: jinja2 is not installed.
    """
    divergence = comparison.divergence
    pair = read_pair(comparison)
    heat_map = heat_map_of(distances, divergence)
    metrics = chosen_metrics(list(pair.metrics), _MOST_CHARTS)
    axis = curve_axis(pair.epochs, heat_map)
    environments = header_facts(pair.ledgers[0].header, pair.ledgers[1].header)
    names = [
        ledger.path.resolve().parent.name if ledger.fit is None else f"fit {ledger.fit + 1}"
        for ledger in pair.ledgers
    ]
    digests = digest_lines(divergence, pair)
    tensors = 0 if divergence is None else len(divergence.tensors)
    heading = _HEADINGS[comparison.verdict]
    if comparison.verdict == "diverged" and pair.ledgers[0].fit is not None:
        heading = "The fits diverged"
    hidden_metrics = len(pair.metrics) - len(metrics)
    return render_html(
        "compare.html.j2",
        title=f"{heading}: {names[0]} and {names[1]}",
        verdict={
            "kind": comparison.verdict,
            "heading": heading,
            "lead": pair.without_paths(_lead(comparison)),
        },
        facts={n: pair.without_paths(t) for n, t in _facts(comparison).items() if t},
        runs=names,
        lines=_lines(comparison, pair),
        map=heat_map,
        no_map=(
            "the recorded sketches cannot be read (see the notes)."
            if distances is None
            else "the runs have no recorded weights in common."
        ),
        charts=[chart_of(n, *pair.metrics[n], epochs=pair.epochs, places=axis.places) for n in metrics],
        chart_heights=_CHART_HEIGHTS,
        axis=axis,
        more_metrics=_more(hidden_metrics, "more metric", "in the ledgers"),
        digests=digests,
        digests_where="" if divergence is None else divergence.place(),
        more_digests=_more(tensors - len(digests), "more differing tensor", "there"),
        no_digests="No digest differs." if divergence is None else "No tensor's digest differs there.",
        exact=exact_tables(comparison.how_far),
        notes=_bounded([pair.without_paths(n) for n in comparison.notes]),
        unknown_words=_bounded(_distance_notes(distances, pair)),
        differing=environments.differing[:_MOST_FACTS],
        environment_words=_environment_words(len(environments.differing), environments.same),
        footer=_footer(pair),
    )


def _lead(comparison: Comparison) -> str:
    if comparison.divergence is not None:
        text = comparison.divergence.describe()
        return f"{text[:1].upper()}{text[1:]}"
    if comparison.verdict == "incomparable":
        return str(comparison.reason)
    over = f" over {comparison.within}" if comparison.within else ""
    return f"All digests of both records are identical{over}: {comparison.covers}."


def _facts(comparison: Comparison) -> dict[str, str]:
    divergence, grade, distance = comparison.divergence, comparison.grade, comparison.how_far
    facts = {"Grade": f"{grade.name}: {grade.reason}"} if grade is not None else {}
    if divergence is not None:
        facts |= {
            "Cause": divergence.cause,
            "Before that": f"{counted(comparison.compared, 'identical record')} in the chain",
        }
    elif comparison.verdict == "identical":
        compared = counted(comparison.compared, "record")
        facts["Compared"] = f"{compared} of the chain; identical runs do not rule out a rare race condition"
    if distance is not None:
        facts["Distance"] = distance_in_words(distance.first)
        if distance.end.at != distance.first.at:
            facts["At the end"] = distance_in_words(distance.end)
    return facts


def _lines(comparison: Comparison, pair: RunPair) -> list[dict[str, Any]]:
    """Return the table of both runs."""
    # The comparison has read both ledgers to their end: do not read them again for these.
    runs = comparison.runs[:2]
    headers = [ledger.header for ledger in pair.ledgers]
    environments = [as_mapping(header.get("environment")) for header in headers]
    rows = {
        "Fingerprint": [r["fingerprint"] for r in runs],
        "Status": [r["status"] for r in runs],
        "Mode": [h.get("mode") for h in headers],
        "Recorded": [h.get("created") for h in headers],
        "Versions": [environment_text.versions_text(e) for e in environments],
        "Hardware": ["; ".join(environment_text.hardware(e)) for e in environments],
    }
    lines = []
    for name, values in rows.items():
        a, b = (environment_text.NOT_RECORDED if v in (None, "") else str(v) for v in values)
        differs = name != "Recorded" and a != b
        lines.append({"name": name, "a": a, "b": b, "code": name == "Fingerprint", "differs": differs})
    return lines


def _distance_notes(distances: LayerDistances | None, pair: RunPair) -> list[str]:
    """Return why distances are unknown, with the letters of the runs in place of their folders."""
    notes = list(distances.notes) if distances is not None else []
    for letter, ledger in zip("AB", pair.ledgers, strict=True):
        folder = str(ledger.path.parent)
        for i, note in enumerate(notes):
            if note.startswith(f"{folder} has "):
                notes[i] = f"Run {letter}{note.removeprefix(folder)}."
            elif note.endswith(f" in {folder}"):
                notes[i] = f"{note.removesuffix(folder)}run {letter}."
    return notes


def _more(number: int, noun: str, where: str) -> str | None:
    return f"{counted(number, noun)} {where}." if number > 0 else None


def _bounded(notes: list[str]) -> list[str]:
    more = len(notes) - _MOST_NOTES
    return notes if more <= 0 else [*notes[:_MOST_NOTES], f"{more:,} more notes"]


def _environment_words(differing: int, same: int) -> str:
    if same + differing == 0:
        return "No environment was recorded."
    facts = counted(same, "recorded fact")
    if differing == 0:
        return f"None: all {facts} are the same (versions, CPU, switches, variables, command)."
    more = f"{differing - _MOST_FACTS:,} more differ. " if differing > _MOST_FACTS else ""
    return f"{more}The other {facts} are the same."


def _footer(pair: RunPair) -> str:
    a, b = (ledger.digest for ledger in pair.ledgers)
    return f"Made by keras_repro {__version__} from two ledgers. BLAKE3 of run A's: {a}; of run B's: {b}."
