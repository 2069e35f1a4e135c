"""Show the progress of the runs of a verification, with the time left."""

from __future__ import annotations

import time
from pathlib import Path
from statistics import fmean
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID
from rich.table import Column
from rich.text import Text

from keras_repro.processes.child import Outcome
from keras_repro.processes.task import Watcher
from keras_repro.report.console.ledger_tail import LedgerTail
from keras_repro.report.console.terminal import print_line, shown_path, styled
from keras_repro.report.text import counted


class PlainColumn(ProgressColumn):
    """Show a text in live lines.

    Args:
        template: a format string with the fields of the `rich.progress.Task` `task`.
    """

    def __init__(self, template: str) -> None:
        super().__init__(Column(no_wrap=True))
        self._template = template

    def render(self, task: Task) -> Text:
        """Return the text for a line."""
        return styled((self._template.format(task=task), ""))


class LiveDisplay:
    """Show live lines below the output while the `with` block runs, if the console is a terminal.

    Args:
        console: where to print.
        columns: the columns of a live line.
        options: options of `rich.progress.Progress`.
    """

    def __init__(self, console: Console, *columns: ProgressColumn, **options: Any) -> None:
        self._console = console
        self._progress = Progress(*columns, console=console, transient=True, **options)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()


class ProgressWatcher(LiveDisplay, Watcher):
    """Print a line for each finished run; on a terminal, show a live line with the time left too.

    Args:
        console: where to print.
        runs: the number of runs.
    """

    _title = "run"

    def __init__(self, console: Console, runs: int) -> None:
        super().__init__(
            console,
            PlainColumn("{task.description}"),
            BarColumn(bar_width=None),
            PlainColumn("{task.fields[epochs]} {task.fields[left]}"),
            expand=True,
        )
        self._runs = runs
        self._task: TaskID
        self._tail: LedgerTail
        self._began = 0.0
        self._finished_seconds: list[float] = []

    def on_start(self, number: int, ledger: Path) -> None:
        """Add the live line of a run."""
        self._began = time.monotonic()
        self._tail = LedgerTail(ledger)
        title = f"{self._title} {number + 1}/{self._runs}"
        self._task = self._progress.add_task(title, total=1.0, epochs="starting", left="")

    def on_poll(self, number: int) -> None:
        """Update the live line of a run."""
        self._tail.read()
        share = self._tail.share
        taken = time.monotonic() - self._began
        left = self._time_left(number, share, taken)
        expected = self._expected_seconds()
        if expected is not None:
            share = min(1.0, taken / expected)
        self._progress.update(self._task, completed=share, epochs=self._tail.position, left=left)

    def on_end(self, number: int, outcome: Outcome) -> None:
        """Replace the live line of a run by a line that stays."""
        self._finished_seconds.append(outcome.seconds)
        self._progress.remove_task(self._task)
        self._tail.read()
        epochs = counted(self._tail.finished_epochs, "epoch")
        ledger = f", {shown_path(self._tail.path)}" if self._tail.path.exists() else ""
        print_line(self._console, f"run {number + 1}/{self._runs}: {outcome.seconds:.1f} s, {epochs}{ledger}")

    def _expected_seconds(self) -> float | None:
        """Return the mean seconds of the finished runs, None if there are none."""
        return fmean(self._finished_seconds) if self._finished_seconds else None

    def _time_left(self, number: int, share: float, taken: float) -> str:
        expected = self._expected_seconds()
        if expected is not None:
            whole_run = expected
        elif share > 0 and self._tail.first_fit_time is not None:
            trained = time.monotonic() - self._tail.first_fit_time
            whole_run = taken + trained * (1 - share) / share
        else:
            return ""
        seconds = max(0.0, whole_run - taken) + whole_run * (self._runs - number - 1)
        return f"about {duration(seconds)} left"


class DiagnosisWatcher(ProgressWatcher):
    """Print a line for each training of a diagnosis; on a terminal, show a live line with the time left too.

    Args:
        console: where to print.
        most: the largest number of trainings.
        known_seconds: seconds of a recorded run, from which the first estimate is made; None if unknown.
        purpose: what the trainings are for.
    """

    _title = "training"

    def __init__(
        self,
        console: Console,
        most: int,
        known_seconds: float | None = None,
        *,
        purpose: str = "diagnosing",
    ) -> None:
        super().__init__(console, most)
        self._known_seconds, self._purpose = known_seconds, purpose

    @property
    def seconds(self) -> float | None:
        """How long a training takes, in seconds, as far as that is known."""
        return self._expected_seconds()

    def on_start(self, number: int, ledger: Path) -> None:
        """Print how long a training takes, as far as that is known, and add its live line."""
        expected = self._expected_seconds()
        estimate = "" if expected is None else f", about {duration(expected)}"
        most = f"of {'at most ' if self._purpose == 'diagnosing' else ''}{self._runs}"
        print_line(self._console, f"{self._purpose}: training {number + 1} {most}{estimate}")
        super().on_start(number, ledger)

    def on_end(self, number: int, outcome: Outcome) -> None:
        """Remove the live line of a training."""
        self._finished_seconds.append(outcome.seconds)
        self._progress.remove_task(self._task)

    def _expected_seconds(self) -> float | None:
        expected = super()._expected_seconds()
        return self._known_seconds if expected is None else expected


def duration(seconds: float) -> str:
    """Return seconds as text: `"2 min 5 s"`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
