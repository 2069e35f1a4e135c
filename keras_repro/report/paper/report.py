"""The "Reproducibility Information" page of recorded runs, in Markdown and for machines.

>>> print(render_report([Path("check/run-1")]))             # several runs: a section each
## Reproducibility Information
...
- **Random Seed**: 42 (keras.utils.set_random_seed)
...
>>> report_data([Path("check/run-1")])["runs"][0]["information"]["Random Seed"]
'42 (keras.utils.set_random_seed)'

Each line is filled in from the ledger or says "not recorded"; metrics stand there to the last bit. What
the ledger says is text that anyone may have written: it is escaped as it is put in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_repro.ledger.reader import open_ledger
from keras_repro.report.paper.markdown import Markdown, marked
from keras_repro.report.paper.run_page import page_of
from keras_repro.report.paper.run_summary import Summary, summarize
from keras_repro.report.templating import templates

FORMAT = 1

_MOST_RESULTS = 100


def render_report(runs: Sequence[Path]) -> str:
    """Writes the page.

    Args:
        runs: run folders, or ledgers.

    Raises:
        LedgerError: one of them cannot be read.
        ReproError: jinja2 is not installed.
    """
    # The text is Markdown: `finalize` escapes for both it and HTML.
    environment = templates("a report", escapes=False, finalize=marked, as_it_is=Markdown)
    summaries = [summarize(open_ledger(run)) for run in runs]
    template = environment.get_template("report.md.j2")
    pages = [page_of(s) for s in summaries]
    text = template.render(runs=pages, verdict=_verdict(summaries), most_results=_MOST_RESULTS)
    return text.strip() + "\n"


def report_data(runs: Sequence[Path]) -> dict[str, Any]:
    """What the page says, as `--json` writes it; what was not recorded is None.

    Args:
        runs: run folders, or ledgers.

    Returns:
        `format`, `verdict` (None for one run) and `runs`, each as `page_of` gives it, its lines as texts.

    Raises:
        LedgerError: one of them cannot be read.
    """
    summaries = [summarize(open_ledger(run)) for run in runs]
    verdict = _verdict(summaries) if len(summaries) > 1 else None
    return {"format": FORMAT, "verdict": verdict, "runs": [_plain(page_of(s)) for s in summaries]}


def _plain(value: Any) -> Any:
    """A page without what is only for the eye: a line of several parts is one text."""
    if isinstance(value, tuple):
        return "".join(value)
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return {str(k): _plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def _verdict(runs: Sequence[Summary]) -> str:
    """Whether the fingerprints agree, and never more than they say."""
    count = len(runs)
    if len({r.digest for r in runs}) < count:
        return "Some of these are one and the same ledger: they say nothing about repeating."
    if len({r.header.get("mode") for r in runs}) > 1:
        return "Observed and enforced runs are different trainings: they are not compared."
    if len({r.header.get("coverage") for r in runs}) > 1:
        return "The fingerprints cover different things: they are not compared."
    if any(r.status != "finished" or not r.fingerprint for r in runs):
        return "Not all of these runs finished: their fingerprints are partial and not compared."
    if len({r.fingerprint for r in runs}) == 1:
        return f"The fingerprints of all {count} runs agree: to the bit, in all that they cover."
    return "The fingerprints differ: keras-repro compare says where the runs parted."
