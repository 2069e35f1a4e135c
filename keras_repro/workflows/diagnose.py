"""Run a script again in diagnosing processes, one after another, to find out why two runs diverge.

The first process writes a trace of what it does. The second compares itself with that trace while it runs;
when it diverges, it still holds the state from before the step, and replays the step. A third, with the hash
seed of the first, shows what only the hash seed changes, and replays the step on the first process's side.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_repro.comparison.divergence import Divergence
from keras_repro.errors import LaunchError
from keras_repro.ledger.earlier_run import lock_runs
from keras_repro.processes.child import LAUNCHER, Launcher, Outcome
from keras_repro.processes.leftover_workspace import LeftoverWorkspace
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.protocol import DIVERGED, TARGET_REACHED
from keras_repro.processes.task import ChildEnvironment, Task, Watcher
from keras_repro.root_cause.evidence import Evidence
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.rules.clock import recorded_end_by_clock
from keras_repro.root_cause.rules.engine import explain
from keras_repro.storage.atomic_files import open_regular_file
from keras_repro.storage.divergence_report import DivergenceReport
from keras_repro.storage.run_folder import (
    DIVERGENCE_NAME,
    LEDGER_NAME,
    TAPS_NAME,
    TRACE_NAME,
    make_run_folder,
)
from keras_repro.storage.run_lock import RunLock
from keras_repro.storage.trace_file import BatchEvent, ConstructionEvent, FitEvent, VariableEvent, read_trace

MOST_TRAININGS = 4

_SHORT_SWITCH_INTERVAL = 1e-6  # seconds
# Words in the risks of a pipeline stage that runs in parallel with other code.
_PARALLEL_RISKS = ("thread", "workers", "parallel", "not deterministic")


@dataclass(frozen=True, kw_only=True)
class _DiagnosingRun:
    """A diagnosing process that has ended: its folder, and its report if it diverged."""

    folder: Path
    report: DivergenceReport | None

    @property
    def trace(self) -> Path:
        return (self.folder / TRACE_NAME).resolve()


def diagnose(
    task: Task,
    divergence: Divergence | None,
    *,
    folder: Path,
    launcher: Launcher = LAUNCHER,
    watcher: Watcher | None = None,
    conditions: Callable[[bool], ChildEnvironment] | None = None,
    varied: str | None = None,
    created: Sequence[str] = (),
    overwrite: bool = False,
) -> Explanation:
    """Find out why the runs of a task diverge.

    Args:
        task: what to run; the same that diverged.
        divergence: where they diverged, None if not known: no training continues after that epoch.
        folder: gets a folder `1`, `2`, ... for each process.
        launcher: starts each process.
        watcher: called on progress.
        conditions: returns the conditions of a process, those of the second run if called with True; by
            default the caller's, with another hash seed for the second.
        varied: the difference between these conditions in words, if they were varied.
        created: files that the first run has made and that did not exist before. Each process then works in
            a copy of the script's folders, the first without these files.
        overwrite: whether all runs in `folder` may be replaced; else only those of an earlier diagnosis.

    Returns:
        The explanation; its cause is `unknown` if the divergence did not happen again.

    Raises:
        LaunchError: a process failed, or the folders cannot be copied.
        RunFolderError: `folder` holds other runs or is in use, or cannot be made.
    """
    watcher = watcher or Watcher()
    leftover = None
    if created:
        leftover = LeftoverWorkspace(task.script, created, folder / "copies", exclude=folder.parent)
    trainings = 0

    def run(hash_seed: int, *, hurried: bool = False, **probe: Any) -> _DiagnosingRun:
        nonlocal trainings
        number, trainings = trainings, trainings + 1
        run_folder = make_run_folder(folder / str(trainings))
        watcher.on_start(number, run_folder / LEDGER_NAME)
        if conditions is None:
            child = ChildEnvironment(environment=task.environment(hash_seed))
        else:
            child = conditions(hash_seed > 0)
        if hurried:
            child = child.changed({}, {"switch_interval": _SHORT_SWITCH_INTERVAL})
        if leftover is not None:
            child = child.within(leftover.for_process(trainings))
        plan = child.plan(replace(task.plan(run_folder, redirect=True), probe=probe, every="epoch"))
        started = launcher.start(plan, environment=child.environment, cwd=child.cwd)
        outcome = started.wait(lambda: watcher.on_poll(number))
        watcher.on_end(number, outcome)
        return _ended(outcome, run_folder)

    with _replaced(folder, overwrite=overwrite), leftover or contextlib.nullcontext():
        last = _last_epoch(divergence)
        first = run(0, last=last)
        reference = str(first.trace)
        second = run(1, last=last, reference=reference, replays=True)
        while second.report is None and trainings < MOST_TRAININGS:
            # A race between threads is more frequent if they switch more often, which changes nothing else.
            second = run(trainings, hurried=True, last=last, reference=reference, replays=True)
        if second.report is None:
            return _did_not_happen_again(first, trainings, divergence)
        number, third = second.report.interval, None
        if trainings < MOST_TRAININGS and not _is_conclusive(second.report):
            third = run(0, reference=reference, until=number, target=True, replays=True)
        report = None if third is None else third.report
        same_step = report is not None and report.interval == number
        taps = [_taps(r.folder) for r in (second, third if same_step else None) if r is not None]
        explanation = explain(
            Evidence(
                first=list(read_trace(first.trace)),
                second=list(read_trace(second.trace)),
                report=second.report,
                third=report,
                taps=taps,
                hash_seeds_differ=not task.keep_hash_seed if conditions is None else varied is not None,
                varied=varied,
                left=frozenset() if leftover is None else leftover.files,
            )
        )
    if leftover is not None:
        explanation = explanation.with_lines(leftover.original_line)
    evidence = (*explanation.evidence, *_other_epoch(explanation, divergence))
    return replace(explanation, trainings=trainings, evidence=evidence)


def _replaced(folder: Path, *, overwrite: bool) -> RunLock:
    """Lock the folder of a diagnosis, and remove the runs of an earlier one."""
    names = [str(number + 1) for number in range(MOST_TRAININGS)]
    runs = [folder / name for name in names if os.path.lexists(folder / name / LEDGER_NAME)]
    are_diagnosing = all(os.path.lexists(run / TRACE_NAME) for run in runs)
    return lock_runs(folder, names, overwrite=overwrite or are_diagnosing)


def _other_epoch(explanation: Explanation, recorded: Divergence | None) -> Iterator[str]:
    """Yield a note if the diagnosed runs diverged in another epoch than the recorded ones."""
    if recorded is None or None in (recorded.epoch, explanation.epoch):
        return
    if (explanation.fit, explanation.epoch) != (recorded.fit, recorded.epoch):
        yield f"the point of divergence varies: the recorded runs diverged {recorded.place()}"


def _did_not_happen_again(first: _DiagnosingRun, trainings: int, recorded: Divergence | None) -> Explanation:
    """Return what is known if no training diverged: an end by the clock, or what runs in parallel."""
    ended = recorded_end_by_clock(read_trace(first.trace), recorded)
    if ended is not None:
        return replace(ended, trainings=trainings)
    stages = [
        event
        for interval in read_trace(first.trace)
        for event in interval.context
        if isinstance(event, ConstructionEvent)
        and any(word in risk for risk in event.risks for word in _PARALLEL_RISKS)
    ]
    suspects = [f"{s.what} with {', '.join(s.risks)}: line {s.source.line}" for s in stages]
    rare = "the cause of the divergence is rare, or has gone: the network, a race, a file"
    return Explanation(
        cause="unknown",
        sentence=f"the divergence did not happen again: {trainings} further trainings were identical up to "
        "that point",
        source=stages[0].source if stages else None,
        evidence=(rare, *(f"may differ at times: {s}" for s in dict.fromkeys(suspects))),
        trainings=trainings,
    )


def _last_epoch(divergence: Divergence | None) -> dict[str, int] | None:
    # A divergence after a fit's last epoch (in `on_train_end`) shows only if the training continues.
    if divergence is None or divergence.fit is None or divergence.kind == "end":
        return None
    return {"fit": divergence.fit, "epoch": divergence.epoch or 0}


def _ended(outcome: Outcome, folder: Path) -> _DiagnosingRun:
    if outcome.code in (DIVERGED, TARGET_REACHED):
        return _DiagnosingRun(folder=folder, report=_report(folder / DIVERGENCE_NAME))
    raise_for_outcome(outcome, folder, name="a diagnosing run")
    if not (folder / TRACE_NAME).exists():
        raise LaunchError(f"a diagnosing run left no trace in {folder}")
    return _DiagnosingRun(folder=folder, report=None)


def _report(path: Path) -> DivergenceReport | None:
    if not os.path.lexists(path):
        return None
    with open_regular_file(path, what="report") as file:
        return DivergenceReport.from_dict(json.load(file))


def _is_conclusive(report: DivergenceReport) -> bool:
    """Return whether the second process alone shows the operation: the step differs from its own replay."""
    replay = report.evidence.replay
    inputs = (BatchEvent, VariableEvent, FitEvent)
    inputs_differ = any(isinstance(d.either, inputs) for d in report.differences)
    return replay is not None and not replay.agrees and not inputs_differ


def _taps(folder: Path) -> dict[int, Any]:
    """Read the values of the replayed step, by number; no object in the file is loaded."""
    path = folder / TAPS_NAME
    if not os.path.lexists(path):
        return {}
    import numpy as np

    with (
        open_regular_file(path, what="file of values") as opened,
        np.load(opened, allow_pickle=False) as file,
    ):
        return {int(name): file[name] for name in file.files}
