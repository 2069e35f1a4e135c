"""Write the "Reproducibility Information" page of recorded runs, as Markdown or as data.

>>> print(render_report([Path("check/run-1")]))             # several runs: a section each
## Reproducibility Information
...
- **Random Seed**: 42 (keras.utils.set_random_seed)
...
>>> report_data([Path("check/run-1")])["runs"][0]["information"]["Random Seed"]
'42 (keras.utils.set_random_seed)'

Each line comes from the ledger or is "not recorded"; metrics are exact. Ledgers may come from an untrusted
source: the templates escape every value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_repro.ledger.reader import open_ledger
from keras_repro.report.paper.markdown import Markdown, marked
from keras_repro.report.paper.run_page import page_of
from keras_repro.report.paper.run_summary import RunSummary, summarize
from keras_repro.report.templating import template_environment

_FORMAT = 1
_MOST_RESULTS = 100


def render_report(runs: Sequence[Path]) -> str:
    """Render the page as Markdown.

    Args:
        runs: run folders, or ledgers.

    Raises:
        LedgerError: one of them cannot be read.
        ReproError: jinja2 is not installed.
    """
    # The text is Markdown: `finalize` escapes for Markdown and HTML.
    environment = template_environment("a report", autoescape=False, finalize=marked)
    environment.filters["markdown"] = Markdown
    summaries = [summarize(open_ledger(run)) for run in runs]
    template = environment.get_template("report.md.j2")
    pages = [page_of(s) for s in summaries]
    text = template.render(runs=pages, verdict=_verdict(summaries), most_results=_MOST_RESULTS)
    return text.strip() + "\n"


def report_data(runs: Sequence[Path]) -> dict[str, Any]:
    """Return the content of the page, as `--json` writes it; None for what was not recorded.

    Args:
        runs: run folders, or ledgers.

    Returns:
        `format`, `verdict` (None for one run) and `runs`, each as `page_of` returns it, its lines as texts.

    Raises:
        LedgerError: one of them cannot be read.
    """
    summaries = [summarize(open_ledger(run)) for run in runs]
    verdict = _verdict(summaries) if len(summaries) > 1 else None
    return {"format": _FORMAT, "verdict": verdict, "runs": [_plain(page_of(s)) for s in summaries]}


def _plain(value: Any) -> Any:
    """Join the parts of each line into one text."""
    if isinstance(value, tuple):
        return "".join(value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return {str(k): _plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _verdict(runs: Sequence[RunSummary]) -> str:
    """Return whether the fingerprints agree, in a sentence."""
    count = len(runs)
    if len({r.ledger.digest for r in runs}) < count:
        return "Some of these are the same ledger: this shows nothing about reproducibility."
    if len({r.ledger.header["mode"] for r in runs}) > 1:
        return "Observed and enforced runs are different trainings: they are not compared."
    if len({r.ledger.header["coverage"] for r in runs}) > 1:
        return "The fingerprints have different coverage: they are not compared."
    if any(r.ledger.status != "finished" or not r.ledger.fingerprint for r in runs):
        return "Not all of these runs finished: their fingerprints are partial and not compared."
    if len({r.ledger.fingerprint for r in runs}) == 1:
        return f"The fingerprints of all {count} runs are identical: all that they cover is bit-identical."
    return "The fingerprints differ: keras-repro compare shows where the runs diverge."
