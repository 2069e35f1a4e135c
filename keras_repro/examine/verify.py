"""Runs a script several times in fresh processes and compares what they recorded.

verification = verify(Task(script="train.py"), folder=Path("runs/check"), child_module=...)
verification.comparison.verdict
"""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import signal
import statistics
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from keras_repro.errors import LaunchError, RunFolderError
from keras_repro.examine.compare import Comparison, compare_all
from keras_repro.examine.launch import (
    OUTPUT_NAME,
    RECORDING_FAILED,
    Outcome,
    Plan,
    Start,
    run_child,
    start_process,
)
from keras_repro.examine.leftovers import Listing
from keras_repro.record.folders import LEDGER_NAME, make_run_folder
from keras_repro.record.ledger import LedgerFile, read_ledger

_LAST_LINES = 15


@dataclass(frozen=True, kw_only=True)
class Task:
    """What to run and how.

    Attributes:
        script: path of the script, or None where `module` is given.
        module: name of a module, as for `python -m`.
        arguments: the script's own arguments.
        seed: pins every seed and switch where it is not None (enforced), observes otherwise.
        pinned: environment variables that pin the switches, where enforced.
        keep_hash_seed: whether all children get the caller's hash seed and not one each.
        max_epochs: cap on the epochs of every fit, or None.
        max_steps: cap on the steps of every epoch, or None.
    """

    script: str | None = None
    module: str | None = None
    arguments: tuple[str, ...] = ()
    seed: int | None = None
    pinned: Mapping[str, str] = field(default_factory=dict)
    keep_hash_seed: bool = False
    max_epochs: int | None = None
    max_steps: int | None = None

    def plan(self, folder: Path, *, redirect: bool) -> Plan:
        """The plan for one child."""
        caps = {"max_epochs": self.max_epochs, "max_steps": self.max_steps}
        return Plan(
            folder=folder.resolve(),
            script=self.script,
            module=self.module,
            arguments=self.arguments,
            seed=self.seed,
            switches=dict(self.pinned),
            policies={n: v for n, v in caps.items() if v is not None},
            redirect=redirect,
        )

    def environment(self, number: int | None = None) -> dict[str, str]:
        """The whole environment of a child: the caller's, with what this task changes.

        Args:
            number: which of several children it is, from 0; decides its hash seed.
        """
        result = dict(os.environ)
        if number is not None and not self.keep_hash_seed:
            result["PYTHONHASHSEED"] = str(number + 1)
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
        estimate: seconds that the whole training would take, where epochs or steps were capped.
    """

    comparison: Comparison
    outcomes: tuple[Outcome, ...]
    leftovers: tuple[str, ...] = ()
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
        # Only the first part of the name: to find the rest would run the package's own code here.
        top = task.module.partition(".")[0]
        if importlib.machinery.PathFinder.find_spec(top, [os.getcwd(), *sys.path]) is None:
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
    child_module: str,
    runs: int = 3,
    overwrite: bool = False,
    watcher: Watcher | None = None,
    start: Start = start_process,
) -> Verification:
    """Runs a task `runs` times, one after another, and compares the runs.

    Args:
        task: what to run.
        folder: gets a run folder `run-1`, `run-2`, ... for each child.
        child_module: the module that carries plans out in a child.
        runs: how many children, at least 2.
        overwrite: whether runs in `folder` may be replaced.
        watcher: is told of progress.
        start: starts a child process.

    Raises:
        LaunchError: a child failed, was killed, or trained nothing that was observed.
        RunFolderError: the folder holds runs already, or cannot be made.
        LedgerError: a ledger cannot be read.
    """
    watcher = watcher or Watcher()
    check_task(task)
    folders = _make_folders(folder, runs, overwrite=overwrite)
    listing = Listing.of(task.script, leave_out=folder)
    outcomes: list[Outcome] = []
    leftovers: dict[str, None] = {}
    for number, run_folder in enumerate(folders):
        watcher.begins(number, run_folder / LEDGER_NAME)
        outcome = run_child(
            task.plan(run_folder, redirect=True),
            child_module=child_module,
            environment=task.environment(number),
            start=start,
            poll=lambda number=number: watcher.polls(number),  # type: ignore[misc]
        )
        watcher.ends(number, outcome)
        try:
            check_outcome(outcome, run_folder, name=f"run {number + 1}")
        except LaunchError as error:
            if leftovers:
                left = _listed(leftovers)
                raise LaunchError(
                    f"{error}; run 1 left files that it could read: {left}", error.output
                ) from None
            raise
        outcomes.append(outcome)
        if number + 1 < runs:
            later = Listing.of(task.script, leave_out=folder)
            leftovers.update(dict.fromkeys(later.changed_since(listing)))
    comparison = compare_all(folders, same_script=True)
    estimate = _estimate(read_ledger(folders[0]), outcomes[0])
    notes = list(comparison.notes)
    if leftovers:
        notes.append(f"a run left files that the next could read: {_listed(leftovers)}")
    if comparison.within:
        whole = f"; the whole would take about {estimate:.0f} s a run" if estimate else ""
        notes.append(f"a quick look over {comparison.within}{whole}")
    return Verification(
        comparison=replace(comparison, notes=tuple(notes)),
        outcomes=tuple(outcomes),
        leftovers=tuple(leftovers),
        estimate=estimate,
    )


def check_outcome(outcome: Outcome, folder: Path, *, name: str) -> None:
    """Says what went wrong with a child, if something did.

    Raises:
        LaunchError: it failed, was killed, or nothing of a training was seen in it.
    """
    names = {"ledger": LEDGER_NAME, "output": OUTPUT_NAME}
    held = " and ".join(what for what, file in names.items() if (folder / file).exists())
    kept = f"{held or 'nothing'} kept in {folder}"
    if outcome.code < 0:
        raise LaunchError(f"{name} was killed by {_signal_name(-outcome.code)}; {kept}")
    if outcome.code == RECORDING_FAILED:
        raise LaunchError(f"{name}: {_reason(folder / OUTPUT_NAME)}; the script itself ended well; {kept}")
    if outcome.code != 0:
        output = _last_lines(folder / OUTPUT_NAME)
        raise LaunchError(f"{name} failed with exit code {outcome.code}; {kept}", output)
    if not (folder / LEDGER_NAME).exists():
        raise LaunchError(
            f"{name}: it left no record: it ended with os._exit, or became another program with os.exec, "
            f"which is not observed; {kept}"
        )
    reason = unobserved(read_ledger(folder))
    if reason is not None:
        raise LaunchError(f"{name}: {reason}; {kept}")


def unobserved(ledger: LedgerFile) -> str | None:
    """Why a finished run holds no training at all, None where it holds one."""
    last: dict[str, Any] = {}
    for record in ledger.typed_records():
        if record.kind != "exit" or record.tensors:
            return None
        last = dict(record.extra)
    if last.get("unsupported"):
        return f"{', '.join(last['unsupported'])} are not supported yet: the training was not observed"
    if last.get("unobserved") or last.get("processes"):
        return "no training in this process; one in a process that the script starts is not observed"
    return "no Keras training was seen in it: nothing to compare"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _reason(output: Path) -> str:
    """What a child said last of its failed recording."""
    said = [line for line in _last_lines(output).splitlines() if line.startswith("keras-repro: ")]
    return said[-1].removeprefix("keras-repro: ") if said else "its recording could not be finished"


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


def _last_lines(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - (1 << 16)))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    start = text.rfind("Traceback (most recent call last)")
    lines = (text[start:] if start >= 0 else text).rstrip().splitlines()
    shown = lines if start >= 0 and len(lines) <= 60 else lines[-_LAST_LINES:]
    return "".join(f"{line}\n" for line in shown)


def _estimate(ledger: LedgerFile, outcome: Outcome) -> float | None:
    """Seconds for the whole training, from those of the epochs and steps that were run of it."""
    if not ledger.header["policies"]:
        return None
    epochs: list[float] = []
    seconds = outcome.seconds
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
