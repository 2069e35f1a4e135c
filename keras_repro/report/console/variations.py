"""Print variations: the catalogue, progress, and the table of results."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import SpinnerColumn, TaskID
from rich.table import Table

from keras_repro.report.console.ledger_tail import LedgerTail
from keras_repro.report.console.progress import LiveDisplay, PlainColumn
from keras_repro.report.console.terminal import print_line, shown_path, styled
from keras_repro.workflows.vary.catalogue import Variation
from keras_repro.workflows.vary.results import BASELINE, REPEAT, VariationOutcome, Variations
from keras_repro.workflows.vary.watcher import VariationWatcher

_STYLES = {"repeats": "green", "differs": "bold red", "could not run": "yellow", "not tried": "dim"}


def print_catalogue(catalogue: Sequence[Variation], console: Console) -> None:
    """Print the name of each variation, what it changes, and why that should not matter."""
    for variation in catalogue:
        print_line(console, variation.name, "bold")
        print_line(console, f"  changes  {variation.changes}")
        print_line(console, f"  because  {variation.why}")
    print_line(console, "--vary all selects all of them; --vary threads selects both kinds of threads")


def print_variations(result: Variations, console: Console) -> None:
    """Print the table of variations, the reasons, and the verdict as the last line."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("variation", "result", "diverges at"):
        table.add_column(name, no_wrap=True)
    table.add_column("how far", justify="right", no_wrap=True)
    outcomes = result.outcomes if result.repeat.verdict == "repeats" else ()
    for outcome in (result.repeat, *outcomes):
        verdict = styled((outcome.verdict, _STYLES[outcome.verdict]))
        table.add_row(outcome.name, verdict, outcome.where, _distance(outcome))
    console.print()
    console.print(table)
    for outcome in outcomes:
        if outcome.reason:
            print_line(console, f"{outcome.name} {outcome.verdict}: {outcome.reason}")
            for line in [line for line in outcome.output.splitlines() if line.strip()][-1:]:
                print_line(console, f"  {line}")
    for note in result.notes:
        print_line(console, f"note: {note}", "yellow")
    print_line(console, f"ledgers: {shown_path(Path(result.baseline).parents[1])}/NAME/ledger.jsonl")
    print_line(console, *_verdict(result))


def _verdict(result: Variations) -> tuple[str, str]:
    """Return the verdict and its style."""
    if result.repeat.verdict == "differs":
        comparison = result.repeat.comparison
        why = "" if comparison is None else f": {comparison}"
        hint = "" if result.repeat.explanation else " (--explain diagnoses the cause)"
        return (
            f"does not repeat even under unchanged conditions{why}; no variation was run{hint}",
            "bold red",
        )
    differs, repeats = result.with_verdict("differs"), result.with_verdict("repeats")
    tried = len(result.outcomes) - len(result.with_verdict("not tried"))
    if differs:
        names = ", ".join(o.name for o in differs)
        return f"differs under {names}; repeats under {len(repeats)} of {tried} variations", "bold red"
    if len(repeats) < tried:
        return (
            f"some variations could not run; repeats under {len(repeats)} of {tried} variations",
            "yellow",
        )
    if not tried:
        return "no variation was run", "yellow"
    which = "the one variation that was" if tried == 1 else f"all {tried} variations that were"
    skipped = ", ".join(o.name for o in result.with_verdict("not tried"))
    return f"repeats under {which} tried, bit for bit" + f"; not tried: {skipped}" * bool(
        skipped
    ), "bold green"


def _distance(outcome: VariationOutcome) -> str:
    if outcome.verdict != "differs":
        return ""
    return "?" if outcome.distance is None else f"{outcome.distance:.1e}" if outcome.distance else "0"


@dataclass(frozen=True, kw_only=True)
class _RunningVariation:
    """A variation that runs: its live line, ledger, change and start time."""

    task: TaskID
    tail: LedgerTail
    change: str
    began: float


class VaryWatcher(LiveDisplay, VariationWatcher):
    """Print a line for each finished run; on a terminal, show a live line for each running one too.

    Args:
        console: where to print.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(console, SpinnerColumn(), PlainColumn("{task.description}"))
        self._running: dict[str, _RunningVariation] = {}

    def on_start(self, name: str, change: str, ledger: Path) -> None:
        """Add the live line of a run."""
        self._running[name] = _RunningVariation(
            task=self._progress.add_task(name), tail=LedgerTail(ledger), change=change, began=time.monotonic()
        )

    def on_poll(self) -> None:
        """Update the live lines."""
        for name, run in self._running.items():
            run.tail.read()
            taken = time.monotonic() - run.began
            text = f"{name} ({run.change}): {run.tail.position}, {taken:.0f} s"
            self._progress.update(run.task, description=text)

    def on_end(self, name: str, outcome: VariationOutcome) -> None:
        """Replace the live line of a run by a line that stays."""
        if (run := self._running.pop(name, None)) is None:
            print_line(self._console, f"{name}: {outcome.verdict}, {outcome.reason}")
            return
        self._progress.remove_task(run.task)
        if name in (BASELINE, REPEAT) and outcome.verdict == "repeats":
            result = ""
        else:
            at = f" at {outcome.where}" if outcome.where else ""
            result = f" ({run.change}): {outcome.verdict}{at},"
        print_line(self._console, f"{name}{result or ':'} {outcome.seconds:.1f} s")
