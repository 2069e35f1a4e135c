"""Run a script several times in fresh processes and compare the recorded runs.

>>> verify(Task(script="train.py"), folder=Path("runs"), runs=3)
Traceback (most recent call last):
keras_repro.errors.LaunchError: no script at train.py

If there is one, the result is a `Verification`: the comparison of all runs, and how each child ended.
"""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_repro.comparison.compare import compare_all
from keras_repro.comparison.result import Comparison
from keras_repro.errors import LaunchError, RunFolderError
from keras_repro.ledger.reader import LedgerReader, open_ledger
from keras_repro.processes.child import LAUNCHER, Launcher, Outcome
from keras_repro.processes.file_listing import FileListing
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.protocol import DIVERGED
from keras_repro.processes.task import Task, Watcher, check_task
from keras_repro.storage.run_folder import LEDGER_NAME, make_run_folder


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a verification found.

    Attributes:
        comparison: of all runs.
        outcomes: how each child ended.
        leftovers: files that a run left where the next one could read them.
        created: absolute paths of those that were not there before.
        estimate: seconds that the whole training would take, where epochs or steps were capped.
    """

    comparison: Comparison
    outcomes: tuple[Outcome, ...]
    leftovers: tuple[str, ...] = ()
    created: tuple[str, ...] = ()
    estimate: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The machine form, as `--json` writes it."""
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
    """Runs a task `runs` times, one after another, and compares the runs.

    Args:
        task: what to run.
        folder: gets a run folder `run-1`, `run-2`, ... for each child.
        runs: how many children, at least 2.
        overwrite: whether runs in `folder` may be replaced.
        keep_going: whether all run to their end; else a run that parts from the first ends there, and no
            further one begins.
        watcher: is told of progress.
        launcher: starts each child.

    Raises:
        LaunchError: a child failed, was killed, or trained nothing that was observed.
        RunFolderError: the folder holds runs already, or cannot be made.
        LedgerError: a ledger cannot be read.
    """
    watcher = watcher or Watcher()
    check_task(task)
    folders = _make_folders(folder, runs, overwrite=overwrite)
    listing = FileListing.of(task.script, exclude=folder)
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
        if outcome.code == DIVERGED and plan.reference is not None:
            outcomes.append(outcome)
            break
        try:
            raise_for_outcome(outcome, run_folder, name=f"run {number + 1}")
        except LaunchError as error:
            if leftovers:
                left = _listed(leftovers)
                raise LaunchError(
                    f"{error}; run 1 left files that it could read: {left}", error.output
                ) from None
            raise
        outcomes.append(outcome)
        if number + 1 < runs:
            later = FileListing.of(task.script, exclude=folder)
            leftovers.update(dict.fromkeys(later.changed_since(listing)))
            created.update(dict.fromkeys(p for p in later.files if p not in listing.files))
    comparison = compare_all(folders[: len(outcomes)], same_script=True)
    estimate = _estimated_seconds(open_ledger(folders[0]), outcomes[0].seconds)
    notes = list(comparison.notes)
    if outcomes[-1].code == DIVERGED:
        notes.append(f"run {len(outcomes)} was ended where it parted: --keep-going lets all runs end")
    if leftovers:
        notes.append(f"a run left files that the next could read: {_listed(leftovers)}")
    if comparison.within:
        whole = f"; the whole would take about {estimate:.0f} s a run" if estimate else ""
        notes.append(f"a quick look over {comparison.within}{whole}")
    return Verification(
        comparison=replace(comparison, notes=tuple(notes)),
        outcomes=tuple(outcomes),
        leftovers=tuple(leftovers),
        created=tuple(created),
        estimate=estimate,
    )


def _listed(files: Iterable[str]) -> str:
    shown = list(files)
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _make_folders(folder: Path, runs: int, *, overwrite: bool) -> list[Path]:
    folders = [folder / f"run-{number + 1}" for number in range(runs)]
    present = sorted(folder.glob("run-*"))
    if present and not overwrite:
        raise RunFolderError(
            f"{folder} holds runs already: choose another folder, or overwrite them with --force"
        )
    for old in present:
        shutil.rmtree(old)
    return [make_run_folder(f) for f in folders]


def _estimated_seconds(ledger: LedgerReader, seconds: float) -> float | None:
    """Seconds for the whole training, from those of the epochs and steps that were run of it.

    Args:
        ledger: of the capped run.
        seconds: how long the capped run took, from the start of its process to its end.

    Returns:
        The estimate; None where nothing was capped.
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
            # The first epoch holds the tracing too, which the others do not repeat.
            later = statistics.median(epochs[1:] or epochs)
            whole = later * _share(arguments, "steps") * len(epochs) * _share(arguments, "epochs")
            seconds += max(0.0, epochs[0] - later) + whole - sum(epochs)
    return seconds


def _share(arguments: Mapping[str, Any], name: str) -> float:
    """How many times what was run of epochs or steps was asked for; 1 where that is not known."""
    asked, done = arguments.get(f"{name}_requested"), arguments.get(name)
    return asked / done if isinstance(asked, int) and isinstance(done, int) and done > 0 else 1.0
