"""Variations on the terminal: the catalogue, progress, and the table at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from keras_repro.report.console.progress import Tail
from keras_repro.report.console.terminal import shown_path
from keras_repro.utils.text import escape_control_chars
from keras_repro.workflows.vary.catalogue import Variation
from keras_repro.workflows.vary.results import VariationOutcome, Variations
from keras_repro.workflows.vary.runner import BASELINE, REPEAT
from keras_repro.workflows.vary.watcher import VariationWatcher

_STYLES = {"repeats": "green", "differs": "bold red", "could not run": "yellow", "not tried": "dim"}


def print_catalogue(catalogue: Sequence[Variation], console: Console) -> None:
    """Prints the names of all variations, what each changes and why that should not matter."""
    for variation in catalogue:
        console.print(Text(variation.name, style="bold"))
        console.print(Text(f"  changes  {variation.changes}"), soft_wrap=True)
        console.print(Text(f"  because  {variation.why}"), soft_wrap=True)
    console.print("--vary all takes them all; --vary threads takes both kinds of threads", markup=False)


def print_variations(result: Variations, console: Console) -> None:
    """Prints the table of variations, the reasons behind it, and the verdict as the last line."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("variation", "result", "from"):
        table.add_column(name, no_wrap=True)
    table.add_column("how far", justify="right", no_wrap=True)
    rows = result.outcomes if result.repeat.verdict == "repeats" else ()
    for outcome in (result.repeat, *rows):
        verdict = Text(outcome.verdict, style=_STYLES[outcome.verdict])
        table.add_row(outcome.name, verdict, escape_control_chars(outcome.where), _far(outcome))
    console.print()
    console.print(table)
    for outcome in rows:
        if outcome.reason:
            _line(console, f"{outcome.name} {outcome.verdict}: {outcome.reason}")
            last = [line for line in outcome.output.splitlines() if line.strip()][-1:]
            for line in last:
                _line(console, f"  {line}")
    for note in result.notes:
        _line(console, f"note: {note}", "yellow")
    _line(console, f"ledgers: {shown_path(Path(result.baseline).parents[1])}/NAME/ledger.jsonl")
    _line(console, *_verdict(result))


def _verdict(result: Variations) -> tuple[str, str]:
    if result.repeat.verdict == "differs":
        comparison = result.repeat.comparison
        said = "" if comparison is None else f": {comparison}"
        how = "" if result.repeat.explanation else " (--explain finds out why)"
        text = f"it does not repeat even in the same surroundings{said}; nothing was varied{how}"
        return text, "bold red"
    differs, repeats = result.with_verdict("differs"), result.with_verdict("repeats")
    tried = len(result.outcomes) - len(result.with_verdict("not tried"))
    if differs:
        named = ", ".join(o.name for o in differs)
        return f"differs under {named}; repeats under {len(repeats)} of {tried} variations", "bold red"
    if len(repeats) < tried:
        return f"could not run everywhere; repeats under {len(repeats)} of {tried} variations", "yellow"
    if not tried:
        return "nothing was varied", "yellow"
    which = "the one variation that was" if tried == 1 else f"all {tried} variations that were"
    return f"repeats under {which} tried, bit for bit", "bold green"


def _far(outcome: VariationOutcome) -> str:
    if outcome.verdict != "differs":
        return ""
    return "?" if outcome.distance is None else f"{outcome.distance:.1e}" if outcome.distance else "0"


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(escape_control_chars(text), style=style), soft_wrap=True)


class VaryWatcher(VariationWatcher):
    """Shows how far each run is: a live line for each on a terminal, a plain line as it ends elsewhere.

    Args:
        console: where to print.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._progress = Progress(
            SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True
        )
        self._running: dict[str, tuple[TaskID | None, Tail, str, float]] = {}

    def on_start(self, name: str, change: str, ledger: Path) -> None:
        """Opens a run's line."""
        task = self._progress.add_task(name) if self._console.is_terminal else None
        self._running[name] = (task, Tail(ledger), change, time.monotonic())

    def on_poll(self) -> None:
        """Looks how far the ledgers are."""
        for name, (task, tail, change, began) in self._running.items():
            if task is not None:
                tail.read()
                taken = time.monotonic() - began
                text = f"{name} ({change}): {tail.text}, {taken:.0f} s"
                self._progress.update(task, description=escape_control_chars(text))

    def on_end(self, name: str, outcome: VariationOutcome) -> None:
        """Closes a run's line."""
        task, _, change, _ = self._running.pop(name, (None, None, "", 0.0))
        if task is not None:
            self._progress.remove_task(task)
        if name in (BASELINE, REPEAT) and outcome.verdict == "repeats":
            said = f"{name}: {outcome.seconds:.1f} s"
        elif outcome.verdict == "not tried" and not outcome.seconds:
            said = f"{name}: not tried, {outcome.reason}"
        else:
            where = f" from {outcome.where}" if outcome.where else ""
            said = f"{name} ({change}): {outcome.verdict}{where}, {outcome.seconds:.1f} s"
        self._console.print(escape_control_chars(said), markup=False, soft_wrap=True)

    def __enter__(self) -> VaryWatcher:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._progress.stop()
