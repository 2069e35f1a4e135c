"""Live progress of the processes that a verification runs, with the time left."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from keras_repro.ledger.position_text import fit_in_words
from keras_repro.processes.child import Outcome
from keras_repro.processes.task import Watcher
from keras_repro.report.console.terminal import shown_path


class ProgressWatcher(Watcher):
    """Shows how far each run is: a live line on a terminal, a plain line a run elsewhere.

    Args:
        console: where to print.
        runs: how many runs there will be.
    """

    def __init__(self, console: Console, runs: int) -> None:
        self._console, self._runs = console, runs
        self._live = console.is_terminal
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[epochs]} {task.fields[left]}"),
            console=console,
            transient=True,
            expand=True,
        )
        self._task: TaskID | None = None
        self._tail: Tail | None = None
        self._began = 0.0
        self._finished: list[float] = []

    def on_start(self, number: int, ledger: Path) -> None:
        """Opens the run's line."""
        self._began = time.monotonic()
        self._tail = Tail(ledger)
        if self._live:
            title = f"run {number + 1}/{self._runs}"
            self._task = self._progress.add_task(title, total=1.0, epochs="starting", left="")

    def on_poll(self, number: int) -> None:
        """Looks how far the run's ledger is."""
        if not self._live or self._task is None or self._tail is None:
            return
        self._tail.read()
        share = self._tail.share
        taken = time.monotonic() - self._began
        left = self._time_left(number, share, taken)
        if self._finished:
            share = min(1.0, taken / (sum(self._finished) / len(self._finished)))
        self._progress.update(self._task, completed=share, epochs=self._tail.text, left=left)

    def on_end(self, number: int, outcome: Outcome) -> None:
        """Closes the run's line."""
        self._finished.append(outcome.seconds)
        if self._live and self._task is not None:
            self._progress.remove_task(self._task)
        assert self._tail is not None
        self._tail.read()
        done = self._tail.done
        counted = f"{done} epoch{'' if done == 1 else 's'}"
        ledger = f", {shown_path(self._tail.path)}" if self._tail.path.exists() else ""
        self._console.print(
            f"run {number + 1}/{self._runs}: {outcome.seconds:.1f} s, {counted}{ledger}",
            soft_wrap=True,
            markup=False,
        )

    def _time_left(self, number: int, share: float, taken: float) -> str:
        if self._finished:
            each = sum(self._finished) / len(self._finished)
            seconds = max(0.0, each - taken) + each * (self._runs - number - 1)
        elif share > 0 and self._tail is not None and self._tail.since is not None:
            trained = time.monotonic() - self._tail.since
            whole = taken + trained * (1 - share) / share
            seconds = whole - taken + whole * (self._runs - number - 1)
        else:
            return ""
        return f"about {_duration(seconds)} left"

    def __enter__(self) -> ProgressWatcher:
        if self._live:
            self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live:
            self._progress.stop()


class Tail:
    """Follows a growing ledger without checking it: only to show how far it is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done = 0
        self.since: float | None = None
        self._position = 0
        self._fit, self._epoch, self._epochs = 0, 0, 0

    @property
    def share(self) -> float:
        """How much of the present fit is done, 0 to 1."""
        return self._epoch / self._epochs if self._epochs else 0.0

    @property
    def text(self) -> str:
        """Where the run is, in words."""
        if self.since is None:
            return "starting"
        named = fit_in_words(self._fit)
        fit = f"{named}, " if named else ""
        return f"{fit}epoch {self._epoch}/{self._epochs or '?'}"

    def read(self) -> None:
        """Takes in the lines that have been added."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self._position)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._position += len(line)
                    self._take(line)
        except OSError:
            return

    def _take(self, line: bytes) -> None:
        if line.startswith(b'{"kind":"fit"'):
            data: dict[str, Any] = json.loads(line)
            arguments = data.get("arguments", {})
            self._epochs = int(arguments.get("epochs") or 0)
            self._fit, self._epoch = int(data.get("fit", 0)), 0
            self.since = self.since or time.monotonic()
        elif line.startswith(b'{"kind":"epoch"'):
            self._epoch += 1
            self.done += 1


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
