"""Runs a script several times in fresh processes and compares what they recorded.

>>> task = Task(script="train.py", arguments=("--lr", "0.01"), max_epochs=2)
>>> task.environment(0)["KERAS_MAX_EPOCHS"]
'2'
>>> check_task(task)
Traceback (most recent call last):
keras_repro.errors.LaunchError: no script at train.py

`verify(task, folder=...)` then returns a `Verification`: its comparison, and how each
child ended.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_repro.comparison.compare import compare_all
from keras_repro.comparison.result import Comparison
from keras_repro.determinism.portable_pins import GRAPH_OPTIMIZER, Portability
from keras_repro.determinism.switch_requests import requests_in
from keras_repro.errors import LaunchError, RunFolderError
from keras_repro.ledger.reader import open_ledger
from keras_repro.processes.child import LAUNCHER, Launcher, Outcome
from keras_repro.processes.file_listing import FileListing
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.protocol import DIVERGED, Plan
from keras_repro.provenance.module_lookup import is_there
from keras_repro.storage.run_folder import LEDGER_NAME, make_run_folder
from keras_repro.workflows.estimate import estimated_seconds


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to run and how.

    Attributes:
        script: path of the script, or None where `module` is given.
        module: name of a module, as for `python -m`.
        arguments: the script's own arguments.
        seed: pins every seed and switch where it is not None (enforced), observes otherwise.
        pinned: environment variables that pin the switches, where enforced.
        portability: how the run is to be portable, or None.
        keep_hash_seed: whether all children get the caller's hash seed and not one each.
        hash_seeds: those of the children by their number, else that number and one.
        max_epochs: cap on the epochs of every fit, or None.
        max_steps: cap on the steps of every epoch, or None.
        every: how often steps are recorded: `"epoch"` (not at all), `"step"`, or every so many steps.
    """

    script: str | None = None
    module: str | None = None
    arguments: tuple[str, ...] = ()
    seed: int | None = None
    pinned: Mapping[str, str] = field(default_factory=dict)
    portability: Portability | None = None
    keep_hash_seed: bool = False
    hash_seeds: tuple[int, ...] = ()
    max_epochs: int | None = None
    max_steps: int | None = None
    every: str | int = "epoch"

    def plan(self, folder: Path, *, redirect: bool) -> Plan:
        """The plan for one child."""
        caps = {"max_epochs": self.max_epochs, "max_steps": self.max_steps}
        return Plan(
            folder=folder.resolve(),
            script=self.script,
            module=self.module,
            arguments=self.arguments,
            seed=self.seed,
            switches=requests_in(self.pinned)
            | ({"graph_optimizer": dict(GRAPH_OPTIMIZER)} if self.portability is not None else {}),
            portability=None if self.portability is None else asdict(self.portability),
            policies={n: v for n, v in caps.items() if v is not None},
            redirect=redirect,
            every=self.every,
        )

    def environment(self, number: int | None = None) -> dict[str, str]:
        """The whole environment of a child: the caller's, with what this task changes.

        Args:
            number: which of several children it is, from 0; decides its hash seed.
        """
        result = dict(os.environ)
        if number is not None and not self.keep_hash_seed:
            seeds = self.hash_seeds
            result["PYTHONHASHSEED"] = str(seeds[number] if number < len(seeds) else number + 1)
        result.update(self.pinned)
        if self.max_epochs is not None:
            result["KERAS_MAX_EPOCHS"] = str(self.max_epochs)
        if self.max_steps is not None:
            result["KERAS_MAX_STEPS_PER_EPOCH"] = str(self.max_steps)
        return result


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


class Watcher:
    """Is told what happens while children run; the default does nothing."""

    def begins(self, number: int, ledger: Path) -> None:
        """Child `number` (from 0) has started; its ledger will appear at `ledger`."""

    def polls(self, number: int) -> None:
        """Called about ten times a second."""

    def ends(self, number: int, outcome: Outcome) -> None:
        """Child `number` has ended."""


def check_task(task: Task) -> None:
    """Says what is wrong with a script's name before anything starts.

    Raises:
        LaunchError: there is no such script, or it is nothing that can be run.
    """
    if task.module is not None:
        if not is_there(task.module):
            raise LaunchError(f"no module {task.module} in {os.getcwd()} or among the installed packages")
        return
    path = Path(task.script or "")
    if path.suffix == ".ipynb":
        raise LaunchError(
            f"{path} is a notebook: call trainer.verify(...) of kr.ReproducibleTrainer in it, "
            "or export it with 'jupyter nbconvert --to script'"
        )
    if path.is_dir():
        raise LaunchError(f"{path} is a folder: give a script, or -m and a module")
    if not path.exists():
        raise LaunchError(f"no script at {path}")
    if not os.access(path, os.R_OK):
        raise LaunchError(f"cannot read {path}: permission denied")


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
        watcher.begins(number, run_folder / LEDGER_NAME)
        plan = task.plan(run_folder, redirect=True)
        if number and not keep_going:
            plan = replace(plan, reference=str((folders[0] / LEDGER_NAME).resolve()))
        child = launcher.start(plan, environment=task.environment(number))
        outcome = child.wait(lambda number=number: watcher.polls(number))  # type: ignore[misc]
        watcher.ends(number, outcome)
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
    estimate = estimated_seconds(open_ledger(folders[0]), outcomes[0].seconds)
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
