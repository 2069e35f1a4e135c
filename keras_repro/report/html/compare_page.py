"""The page of two runs side by side: verdict, heat map, curves, evidence, surroundings; one file of HTML.

>>> from keras_repro.comparison.compare import compare
>>> text = render_comparison(compare("check/run-1", "check/run-2"), None)
>>> "Identical, bit for bit" in text, "://" in text
(True, False)

A page is published: paths of this machine stand in it as "run A" and "run B".
"""

from __future__ import annotations

from typing import Any

from keras_repro.comparison.distances.layer_distances import LayerDistances
from keras_repro.comparison.result import Comparison
from keras_repro.report import environment_text
from keras_repro.report.charts.divergence_marker import place_of
from keras_repro.report.charts.epoch_axis import axis_of
from keras_repro.report.charts.heat_map import heat_map_of
from keras_repro.report.charts.metric_curves import chart_of, chosen
from keras_repro.report.html.environment_diff import header_facts
from keras_repro.report.html.evidence import apart_in_words, digest_lines, exact_lines
from keras_repro.report.html.page import render_html
from keras_repro.report.run_pair import RunPair, read_pair

_MOST_CHARTS = 4
_MOST_FACTS = 60
_MOST_NOTES = 60
_CHART_HEIGHTS = (190, 130)  # pixels: of the first, and of all others

_HEADINGS = {
    "identical": "Identical, bit for bit",
    "diverged": "The runs parted",
    "incomparable": "Not comparable",
}


def render_comparison(
    comparison: Comparison,
    distances: LayerDistances | None,
) -> str:
    """Renders the page.

    Args:
        comparison: what `compare` found.
        distances: how far apart they are; None where that is not known at all.

    Raises:
        LedgerError: a ledger cannot be read.
        ReproError: jinja2 is not installed.
    """
    divergence = comparison.divergence
    pair = read_pair(comparison)
    clean = pair.in_words
    drawn = None
    if distances is not None and len(distances.layers) and len(distances.epochs):
        drawn = heat_map_of(
            distances, place=place_of(divergence, epochs=distances.epochs, layers=distances.layers)
        )
    names = chosen(list(pair.metrics), _MOST_CHARTS)
    axis = axis_of(
        pair.epochs,
        drawn.epochs if drawn is not None else (),
        group=drawn.epochs_in_column if drawn is not None else 1,
        parting=drawn.parting.x if drawn is not None and drawn.parting is not None else None,
    )
    differing = header_facts(pair.files[0].header, pair.files[1].header)
    lines = _lines(comparison, pair)
    digests = digest_lines(divergence, pair)
    listed = 0 if divergence is None else len(divergence.tensors)
    verdict = comparison.verdict
    return render_html(
        "compare.html.j2",
        title=f"{_HEADINGS[verdict]}: {lines[0]['a']} and {lines[0]['b']}",
        verdict={"kind": verdict, "heading": _HEADINGS[verdict], "lead": clean(_lead(comparison))},
        facts=[{"name": n, "text": clean(t)} for n, t in _facts(comparison) if t],
        runs=[{"name": lines[0]["a"]}, {"name": lines[0]["b"]}],
        lines=lines[1:],
        map=drawn,
        no_map=_no_map(distances),
        charts=[chart_of(n, *pair.metrics[n], epochs=pair.epochs, places=axis.places) for n in names],
        chart_heights=_CHART_HEIGHTS,
        axis=axis,
        more_metrics=_more(len(pair.metrics) - len(names), "metric is", "metrics are", "in the ledgers"),
        digests=digests,
        digests_where="" if divergence is None else divergence.place(),
        more_digests=_more(listed - len(digests), "tensor differs", "tensors differ", "there"),
        no_digests="No digest differs." if divergence is None else "No tensor's digest differs there.",
        exact=exact_lines(comparison.how_far),
        notes=_bounded([clean(n) for n in comparison.notes], _MOST_NOTES, "notes"),
        unknown_words=_bounded(_distance_notes(distances, pair), _MOST_NOTES, "notes"),
        differing=differing.differing[:_MOST_FACTS],
        surroundings_words=_surroundings_words(len(differing.differing), differing.same),
        footer=_footer(pair),
    )


def _lead(comparison: Comparison) -> str:
    if comparison.divergence is not None:
        text = comparison.divergence.describe()
        return f"{text[:1].upper()}{text[1:]}"
    if comparison.verdict == "incomparable":
        return f"{comparison.reason}"
    over = f" over {comparison.within}" if comparison.within else ""
    return f"Every digest of both records agrees{over}: {comparison.covers}."


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    divergence, grade, far = comparison.divergence, comparison.grade, comparison.how_far
    counted = f"{comparison.compared:,} record{'' if comparison.compared == 1 else 's'}"
    found = [("Grade", f"{grade.name}: {grade.reason}")] if grade is not None else []
    if divergence is not None:
        found += [("Cause", divergence.cause), ("Before that", f"{counted} of the chain were equal")]
    elif comparison.verdict == "identical":
        found.append(("Compared", f"{counted} of the chain; agreeing runs do not exclude a rare race"))
    if far is not None:
        found.append(("How far apart", apart_in_words(far.first)))
        if far.end.at != far.first.at:
            found.append(("In the end", apart_in_words(far.end)))
    return found


def _lines(comparison: Comparison, pair: RunPair) -> list[dict[str, Any]]:
    """What is told of both runs, beside each other; the first line holds their names."""
    found: list[dict[str, Any]] = []

    def add(name: str, *values: Any, code: bool = False, marked: bool = False) -> None:
        a, b = (environment_text.NOT_RECORDED if v is None or v == "" else str(v) for v in values)
        found.append({"name": name, "a": a, "b": b, "code": code, "differs": marked and a != b})

    files = pair.files
    environments = [environment_text.part(f.header, "environment") for f in files]
    add("Run", *(f.path.resolve().parent.name for f in files))
    # Asked of a file, these would take another reading of it.
    add("Fingerprint", *(r["fingerprint"] for r in comparison.runs[:2]), code=True, marked=True)
    add("Status", *(r["status"] for r in comparison.runs[:2]), marked=True)
    add("Mode", *(f.header.get("mode") for f in files), marked=True)
    add("Recorded", *(f.header.get("created") for f in files))
    versions = [environment_text.versions(e).items() for e in environments]
    add("Versions", *(", ".join(f"{n} {v}" for n, v in items if v) for items in versions), marked=True)
    add("Hardware", *("; ".join(environment_text.hardware(e)) for e in environments), marked=True)
    return found


def _no_map(distances: LayerDistances | None) -> str:
    if distances is None:
        return "what was recorded of it cannot be read (the notes may say more)."
    return "the runs have no record of weights in common."


def _distance_notes(distances: LayerDistances | None, pair: RunPair) -> list[str]:
    """Why distances are not known."""
    found = list(distances.notes) if distances is not None else []
    for letter, file in zip("AB", pair.files, strict=True):
        folder = str(file.path.parent)
        for i, note in enumerate(found):
            if note.startswith(f"{folder} has "):
                found[i] = f"Run {letter}{note.removeprefix(folder)}."
            elif note.endswith(f" in {folder}"):
                found[i] = f"{note.removesuffix(folder)}run {letter}."
    return found


def _more(count: int, one: str, many: str, where: str) -> str | None:
    return None if count <= 0 else f"{count:,} more {one if count == 1 else many} {where}."


def _bounded(texts: list[str], most: int, what: str) -> list[str]:
    return texts if len(texts) <= most else [*texts[:most], f"{len(texts) - most:,} more {what}"]


def _surroundings_words(differing: int, same: int) -> str:
    facts_ = f"{same:,} recorded fact{'' if same == 1 else 's'}"
    more = f"{differing - _MOST_FACTS:,} more differ. " if differing > _MOST_FACTS else ""
    if same + differing == 0:
        return "Nothing of the surroundings was recorded."
    if differing == 0:
        return f"Nothing: all {facts_} are the same (versions, CPU, switches, variables, command)."
    return f"{more}The other {facts_} are the same."


def _footer(pair: RunPair) -> str:
    from keras_repro._version import __version__

    a, b = (f.digest for f in pair.files)
    return f"Made by keras_repro {__version__} from two ledgers. BLAKE3 of run A's: {a}; of run B's: {b}."
