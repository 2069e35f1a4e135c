"""The table of variations on the terminal: readable at 60 columns, without colour."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

from keras_repro.report.console.terminal import make_console
from keras_repro.report.console.variations import VaryWatcher, print_catalogue, print_variations
from keras_repro.workflows.vary.catalogue import CATALOGUE
from keras_repro.workflows.vary.results import VariationOutcome, Variations

REPEAT = VariationOutcome(name="repeat", changes="nothing", verdict="repeats")
REPEATS = VariationOutcome(name="working-directory", changes="the path", verdict="repeats")
DIFFERS = VariationOutcome(
    name="intra-threads",
    changes="threads",
    verdict="differs",
    where="epoch 10 of fit 2",
    distance=7.7e-7,
)
FAILED = VariationOutcome(
    name="locale",
    changes="LC_ALL",
    verdict="could not run",
    reason="failed with exit code 1; kept in x",
    output="Traceback\nValueError: no \x1b[31m comma\n\n",
)
NOT_TRIED = VariationOutcome(name="cpu-count", changes="CPUs", verdict="not tried", reason="one CPU")
ALL = Variations(
    repeat=REPEAT,
    outcomes=(REPEATS, DIFFERS, FAILED, NOT_TRIED),
    baseline="/elsewhere/train-1/baseline/ledger.jsonl",
    notes=("a note",),
)


def printed(result: Variations, *, width: int | None = None) -> list[str]:
    file = io.StringIO()
    console = make_console(file) if width is None else make_console(file, width=width)
    print_variations(result, console)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_table_fits_60_columns() -> None:
    assert printed(ALL, width=60) == [
        "",
        "variation          result         diverges at        how far",
        "repeat             repeats",
        "working-directory  repeats",
        "intra-threads      differs        epoch 10 of fit 2  7.7e-07",
        "locale             could not run",
        "cpu-count          not tried",
        "locale could not run: failed with exit code 1; kept in x",
        "  ValueError: no \\x1b[31m comma",
        "cpu-count not tried: one CPU",
        "note: a note",
        "ledgers: /elsewhere/train-1/NAME/ledger.jsonl",
        "differs under intra-threads; repeats under 1 of 3 variations",
    ]
    assert printed(ALL) == printed(ALL, width=60)


def test_last_line_is_the_verdict() -> None:
    def last(*outcomes: VariationOutcome) -> str:
        return printed(replace(ALL, outcomes=outcomes))[-1]

    assert last(REPEATS, NOT_TRIED) == (
        "repeats under the one variation that was tried, bit for bit; not tried: cpu-count"
    )
    assert last(REPEATS, REPEATS) == "repeats under all 2 variations that were tried, bit for bit"
    assert last(REPEATS, FAILED) == "some variations could not run; repeats under 1 of 2 variations"
    assert last(NOT_TRIED) == "no variation was run"
    never = replace(ALL, repeat=replace(REPEAT, verdict="differs", where="the start of fit 1"))
    assert printed(never)[-1] == (
        "does not repeat even under unchanged conditions; no variation was run "
        "(--explain diagnoses the cause)"
    )
    assert not any("locale" in line for line in printed(never))


def test_unknown_and_zero_distances_are_distinct() -> None:
    for distance, shown in ((None, "?"), (0.0, "0")):
        rows = printed(replace(ALL, outcomes=(replace(DIFFERS, distance=distance),)))
        assert rows[3].split()[-1] == shown


def test_progress_is_one_line_per_run() -> None:
    file = io.StringIO()
    with VaryWatcher(make_console(file)) as watcher:
        for outcome in (replace(REPEAT, seconds=2.0), replace(DIFFERS, seconds=1.0)):
            watcher.on_start(outcome.name, "2 -> 1", Path("none"))
            watcher.on_poll()
            watcher.on_end(outcome.name, outcome)
        watcher.on_end(NOT_TRIED.name, NOT_TRIED)
    assert file.getvalue().splitlines() == [
        "repeat: 2.0 s",
        "intra-threads (2 -> 1): differs at epoch 10 of fit 2, 1.0 s",
        "cpu-count: not tried, one CPU",
    ]


def test_catalogue_is_printed() -> None:
    file = io.StringIO()
    print_catalogue(CATALOGUE, make_console(file))
    lines = file.getvalue().splitlines()
    assert [line for line in lines if line[:1] != " "][:-1] == [v.name for v in CATALOGUE]
    assert lines[1] == "  changes  PYTHONHASHSEED: Python's hashes of text, and with them the order of sets"
