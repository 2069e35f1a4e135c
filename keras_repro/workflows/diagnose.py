"""Run a script again in diagnosing processes, one after another, to find out why two runs diverge.

The first process writes a trace of what it does. The second compares itself with that trace while it runs;
when it diverges, it still holds the state from before the step, and replays the step. A third, with the hash
seed of the first, shows what only the hash seed changes, and replays the step on the first process's side.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_repro.comparison.divergence import Divergence
from keras_repro.processes.child import LAUNCHER, Launcher
from keras_repro.processes.leftover_workspace import LeftoverWorkspace
from keras_repro.processes.task import ChildEnvironment, Task, Watcher
from keras_repro.root_cause.evidence import Evidence
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.rules.clock import recorded_end_by_clock
from keras_repro.root_cause.rules.engine import explain
from keras_repro.storage.atomic_files import open_regular_file
from keras_repro.storage.divergence_report import DivergenceReport
from keras_repro.storage.run_folder import TAPS_NAME
from keras_repro.storage.trace_file import BatchEvent, ConstructionEvent, FitEvent, VariableEvent, read_trace
from keras_repro.workflows.diagnosing_runs import DiagnosingRun, DiagnosingRuns, replaced_runs

MOST_TRAININGS = 4

# Words in the risks of a pipeline stage that runs in parallel with other code.
_PARALLEL_RISKS = ("thread", "workers", "parallel", "not deterministic")


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
    second_epoch: bool = False,
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
        second_epoch: whether the first process continues to its second epoch, so that `try_fix` can compare
            the epochs.

    Returns:
        The explanation; its cause is `unknown` if the divergence did not happen again.

    Raises:
        LaunchError: a process failed, or the folders cannot be copied.
        RunFolderError: `folder` holds other runs or is in use, or cannot be made.
    """
    leftover = None
    if created:
        leftover = LeftoverWorkspace(task.script, created, folder / "copies", exclude=folder.parent)
    runs = DiagnosingRuns(
        task=task,
        folder=folder,
        launcher=launcher,
        watcher=watcher or Watcher(),
        conditions=conditions,
        workspace=None if leftover is None else leftover.for_process,
    )
    run = runs.run
    with replaced_runs(folder, MOST_TRAININGS, overwrite=overwrite), leftover or contextlib.nullcontext():
        last = last_epoch(divergence)
        first = run(0, last=with_second_epoch(last) if second_epoch else last)
        reference = str(first.trace)
        second = run(1, last=last, reference=reference, replays=True)
        while second.report is None and runs.count < MOST_TRAININGS:
            # A race between threads is more frequent if they switch more often, which changes nothing else.
            second = run(runs.count, hurried=True, last=last, reference=reference, replays=True)
        if second.report is None:
            return _did_not_happen_again(first, runs.count, divergence)
        number, third = second.report.interval, None
        if runs.count < MOST_TRAININGS and not _is_conclusive(second.report):
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
    return replace(explanation, trainings=runs.count, evidence=evidence)


def _other_epoch(explanation: Explanation, recorded: Divergence | None) -> Iterator[str]:
    """Yield a note if the diagnosed runs diverged in another epoch than the recorded ones."""
    if recorded is None or None in (recorded.epoch, explanation.epoch):
        return
    if (explanation.fit, explanation.epoch) != (recorded.fit, recorded.epoch):
        yield f"the point of divergence varies: the recorded runs diverged {recorded.place()}"


def _did_not_happen_again(first: DiagnosingRun, trainings: int, recorded: Divergence | None) -> Explanation:
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


def last_epoch(divergence: Divergence | None) -> dict[str, int] | None:
    """Return fit and epoch after which no training has to continue; None for its end."""
    # A divergence after a fit's last epoch (in `on_train_end`) shows only if the training continues.
    if divergence is None or divergence.fit is None or divergence.kind == "end":
        return None
    return {"fit": divergence.fit, "epoch": divergence.epoch or 0}


def with_second_epoch(last: dict[str, int] | None) -> dict[str, int] | None:
    """Return fit and epoch after which a training shows whether its epochs differ; None for its end."""
    return None if last is None else {**last, "epoch": max(last["epoch"], 1)}


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
