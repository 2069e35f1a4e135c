"""Run a script several times in fresh processes and compare the recorded runs.

>>> verify(Task(script="train.py"), folder=Path("runs"), runs=3)
Traceback (most recent call last):
keras_repro.errors.LaunchError: no script at train.py

If there is one, the result is a `Verification`: the comparison of all runs, and how each child ended.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_repro.comparison.compare import compare_all
from keras_repro.comparison.result import Comparison
from keras_repro.errors import LaunchError
from keras_repro.ledger.earlier_run import lock_runs
from keras_repro.ledger.reader import LedgerReader
from keras_repro.processes.child import LAUNCHER, Launcher, Outcome
from keras_repro.processes.file_listing import FileListing
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.protocol import DIVERGED
from keras_repro.processes.task import Task, Watcher, check_task
from keras_repro.storage.run_folder import LEDGER_NAME, make_run_folder
from keras_repro.utils.text import first_few

_MOST_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The result of a verification.

    Attributes:
        comparison: of all runs.
        outcomes: how each child ended.
        leftovers: files that a run left where the next run could read them.
        created: absolute paths of those that did not exist before.
        estimate: seconds for the whole training, if epochs or steps were capped.
    """

    comparison: Comparison
    outcomes: tuple[Outcome, ...]
    leftovers: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    estimate: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the machine form, as `--json` writes it."""
        return self.comparison.to_dict() | {
            "leftovers": list(self.leftovers),
            "seconds": [round(o.seconds, 3) for o in self.outcomes],
            "estimated_seconds": self.estimate,
        }


def verify(
    task: Task,
    *,
    folder: Path,
    runs: int = 3,
    overwrite: bool = False,
    keep_going: bool = False,
    watcher: Watcher | None = None,
    launcher: Launcher = LAUNCHER,
) -> Verification:
    """Run a task `runs` times, one run after another, and compare the runs.

    Args:
        task: what to run.
        folder: gets a run folder `run-1`, `run-2`, ... for each child.
        runs: number of children, at least 2.
        overwrite: whether runs in `folder` may be replaced.
        keep_going: whether all runs are run to their end; else a run that diverges from the first is stopped
            there, and no further run starts.
        watcher: called on progress.
        launcher: starts each child.

    Raises:
        LaunchError: a child failed, was killed, or trained nothing that was observed.
        RunFolderError: the folder holds runs already or is in use, or cannot be made.
        LedgerError: a ledger cannot be read.
    """
    watcher = watcher or Watcher()
    check_task(task)
    names = [f"run-{number + 1}" for number in range(runs)]
    earlier = [path.name for path in folder.glob("run-*") if re.fullmatch(r"run-[1-9]\d*", path.name)]
    with lock_runs(folder, names, others=earlier, overwrite=overwrite):
        folders = [make_run_folder(folder / name) for name in names]
        return _verified(task, folders, keep_going=keep_going, watcher=watcher, launcher=launcher)


def _verified(
    task: Task, folders: Sequence[Path], *, keep_going: bool, watcher: Watcher, launcher: Launcher
) -> Verification:
    folder, runs = folders[0].parent, len(folders)
    before = FileListing.of(task.script, exclude=folder)
    outcomes: list[Outcome] = []
    leftovers: dict[str, None] = {}
    created: dict[str, None] = {}
    for number, run_folder in enumerate(folders):
        watcher.on_start(number, run_folder / LEDGER_NAME)
        plan = task.plan(run_folder, redirect=True)
        if number and not keep_going:
            plan = replace(plan, reference=str((folders[0] / LEDGER_NAME).resolve()))
        child = launcher.start(plan, environment=task.environment(number))
        outcome = child.wait(lambda number=number: watcher.on_poll(number))  # type: ignore[misc]
        watcher.on_end(number, outcome)
        outcomes.append(outcome)
        if outcome.code == DIVERGED and plan.reference is not None:
            break
        try:
            raise_for_outcome(outcome, run_folder, name=f"run {number + 1}")
        except LaunchError as error:
            if not leftovers:
                raise
            files = first_few(leftovers, _MOST_SHOWN)
            raise LaunchError(
                f"{error}; run 1 left files that it could read: {files}", error.output
            ) from None
        if number + 1 < runs:
            after = FileListing.of(task.script, exclude=folder)
            leftovers.update(dict.fromkeys(after.changed_since(before)))
            created.update(dict.fromkeys(p for p in after.files if p not in before.files))
    comparison = compare_all(folders[: len(outcomes)], same_script=True)
    estimate = _estimated_seconds(comparison.ledgers[0], outcomes[0].seconds)
    notes = list(comparison.notes)
    if outcomes[-1].code == DIVERGED:
        notes.append(f"run {len(outcomes)} was stopped where it diverged: --keep-going lets all runs finish")
    if leftovers:
        files = first_few(leftovers, _MOST_SHOWN)
        notes.append(f"a run left files that the next run could read: {files}")
    if comparison.within:
        whole = f"; the whole training would take about {estimate:.0f} s per run" if estimate else ""
        notes.append(f"the runs cover only {comparison.within}{whole}")
    return Verification(
        comparison=replace(comparison, notes=tuple(notes)),
        outcomes=tuple(outcomes),
        leftovers=tuple(leftovers),
        created=tuple(created),
        estimate=estimate,
    )


def _estimated_seconds(ledger: LedgerReader, seconds: float) -> float | None:
    """Return the seconds of the whole training, extrapolated from a capped run.

    Args:
        ledger: of the capped run.
        seconds: wall time of the capped run's process.

    Returns:
        The estimate; None if nothing was capped.
    """
    if not ledger.header["policies"]:
        return None
    epochs: list[float] = []
    arguments: Mapping[str, Any] = {}
    for record in ledger.typed_records():
        if record.kind == "fit":
            arguments, epochs = record.extra.get("arguments", {}), []
        elif record.kind == "epoch":
            epochs.append(float(record.extra.get("seconds", 0.0)))
        elif record.kind == "end" and epochs:
            # The first epoch includes the tracing of the graph, which later epochs do not repeat.
            later = statistics.median(epochs[1:] or epochs)
            whole = later * _uncapped(arguments, "steps") * len(epochs) * _uncapped(arguments, "epochs")
            seconds += max(0.0, epochs[0] - later) + whole - sum(epochs)
    return seconds


def _uncapped(arguments: Mapping[str, Any], name: str) -> float:
    """Return requested epochs or steps as a multiple of those that were run; 1 if that is not known."""
    requested, run = arguments.get(f"{name}_requested"), arguments.get(name)
    return requested / run if isinstance(requested, int) and isinstance(run, int) and run > 0 else 1.0
