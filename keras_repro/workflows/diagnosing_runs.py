"""Start diagnosing processes, one after another, each in a run folder of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_repro.errors import LaunchError
from keras_repro.ledger.earlier_run import lock_runs
from keras_repro.processes.child import Launcher, Outcome
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.protocol import DIVERGED, TARGET_REACHED
from keras_repro.processes.task import ChildEnvironment, Task, Watcher
from keras_repro.processes.workspace import Workspace
from keras_repro.storage.atomic_files import open_regular_file
from keras_repro.storage.divergence_report import DivergenceReport
from keras_repro.storage.run_folder import DIVERGENCE_NAME, LEDGER_NAME, TRACE_NAME, make_run_folder
from keras_repro.storage.run_lock import RunLock

_SHORT_SWITCH_INTERVAL = 1e-6  # seconds


@dataclass(frozen=True, kw_only=True)
class DiagnosingRun:
    """A diagnosing process that has ended: its folder, and its report if it diverged."""

    folder: Path
    report: DivergenceReport | None

    @property
    def trace(self) -> Path:
        """Its trace."""
        return (self.folder / TRACE_NAME).resolve()


@dataclass(kw_only=True)
class DiagnosingRuns:
    """Starts diagnosing processes.

    Attributes:
        task: what to run.
        folder: gets a folder for each process: `1`, `2`, ... after `prefix`.
        launcher: starts each process.
        watcher: called on progress.
        conditions: returns the conditions of a process, those of the second run if called with True; None for
            the caller's, with another hash seed for each number of one.
        workspace: returns the copy in which a process works, by its number from 1; None for no copy.
        prefix: how the names of the run folders start.
        count: number of processes so far.
    """

    task: Task
    folder: Path
    launcher: Launcher
    watcher: Watcher
    conditions: Callable[[bool], ChildEnvironment] | None = None
    workspace: Callable[[int], Workspace] | None = None
    prefix: str = ""
    count: int = 0

    def run(self, hash_seed: int, *, hurried: bool = False, **probe: Any) -> DiagnosingRun:
        """Run the task in a diagnosing process, and wait for its end.

        Args:
            hash_seed: number of the hash seed.
            hurried: whether its Python threads switch far more often, so that a race is more frequent.
            **probe: the arguments of its `EventLog`.

        Raises:
            LaunchError: the process failed.
        """
        number, self.count = self.count, self.count + 1
        run_folder = make_run_folder(self.folder / f"{self.prefix}{self.count}")
        self.watcher.on_start(number, run_folder / LEDGER_NAME)
        if self.conditions is None:
            child = ChildEnvironment(environment=self.task.environment(hash_seed))
        else:
            child = self.conditions(hash_seed > 0)
        if hurried:
            child = child.changed({}, {"switch_interval": _SHORT_SWITCH_INTERVAL})
        if self.workspace is not None:
            child = child.within(self.workspace(self.count))
        plan = child.plan(replace(self.task.plan(run_folder, redirect=True), probe=probe, every="epoch"))
        started = self.launcher.start(plan, environment=child.environment, cwd=child.cwd)
        outcome = started.wait(lambda: self.watcher.on_poll(number))
        self.watcher.on_end(number, outcome)
        return _ended(outcome, run_folder)


def replaced_runs(folder: Path, most: int, *, prefix: str = "", overwrite: bool = False) -> RunLock:
    """Lock a folder of diagnosing runs, and remove earlier ones in it.

    Args:
        folder: the folder.
        most: the largest number of runs.
        prefix: how the names of the run folders start.
        overwrite: whether other runs than diagnosing ones may be removed.
    """
    names = [f"{prefix}{number + 1}" for number in range(most)]
    runs = [folder / name for name in names if os.path.lexists(folder / name / LEDGER_NAME)]
    are_diagnosing = all(os.path.lexists(run / TRACE_NAME) for run in runs)
    return lock_runs(folder, names, overwrite=overwrite or are_diagnosing)


def _ended(outcome: Outcome, folder: Path) -> DiagnosingRun:
    if outcome.code in (DIVERGED, TARGET_REACHED):
        return DiagnosingRun(folder=folder, report=_report(folder / DIVERGENCE_NAME))
    raise_for_outcome(outcome, folder, name="a diagnosing run")
    if not (folder / TRACE_NAME).exists():
        raise LaunchError(f"a diagnosing run left no trace in {folder}")
    return DiagnosingRun(folder=folder, report=None)


def _report(path: Path) -> DivergenceReport | None:
    if not os.path.lexists(path):
        return None
    with open_regular_file(path, what="report") as file:
        return DivergenceReport.from_dict(json.load(file))
