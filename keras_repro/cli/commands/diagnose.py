"""`keras-repro diagnose`: find out why two recorded runs diverge."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from keras_repro.cli.exit_codes import comparison_exit_code
from keras_repro.cli.output_files import write_json
from keras_repro.cli.run_folders import parent_folder
from keras_repro.comparison.compare import compare_all
from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.notes import HASH_SEEDS_DIFFER
from keras_repro.comparison.result import Comparison
from keras_repro.errors import LaunchError, RunFolderError
from keras_repro.processes.task import Task
from keras_repro.report.console.comparison import print_comparison
from keras_repro.report.console.progress import DiagnosisWatcher, duration
from keras_repro.report.console.terminal import make_console, print_line
from keras_repro.root_cause.explanation import Explanation
from keras_repro.root_cause.fix_trial import FixTrial
from keras_repro.workflows.diagnose import MOST_TRAININGS, diagnose
from keras_repro.workflows.reproduce.recorded_task import task_from_specs
from keras_repro.workflows.reproduce.run_spec import read_run_spec
from keras_repro.workflows.try_fix import fixed_files, trainings_of_trial, try_fix

_LITTLE_TIME = 300.0  # seconds


def command(options: argparse.Namespace) -> int:
    console = make_console()
    comparison = compare_all([options.a, options.b], same_script=True)
    data = comparison.to_dict()
    answer = Answer(comparison)
    if comparison.divergence is not None:
        specs = [read_run_spec(ledger) for ledger in comparison.ledgers]
        answer = explain(
            task_from_specs(specs, options.arguments),
            comparison,
            parent_folder(options, "diagnosis"),
            data,
            console,
            # The ledger of a callback or a trainer counts only the fits that it saw itself.
            stop_early=all(spec.of_whole_script for spec in specs),
            overwrite=options.force,
            tries_fix=options.try_fix,
        )
    print_comparison(answer.comparison, console, answer.explanation)
    write_json(options, data)
    return comparison_exit_code(comparison)


@dataclass(frozen=True)
class Answer:
    """A comparison and why its runs diverged; None if they did not, or if it was not diagnosed."""

    comparison: Comparison
    explanation: Explanation | None = None


def explain(
    task: Task,
    comparison: Comparison,
    folder: Path,
    data: dict[str, Any],
    console: Console,
    *,
    stop_early: bool,
    created: Sequence[str] = (),
    seconds: float | None = None,
    overwrite: bool = False,
    tries_fix: bool | None = None,
) -> Answer:
    """Diagnose why runs diverged, try the fix, and add both to the comparison.

    Args:
        task: the task of the runs.
        comparison: their comparison; it has a divergence.
        folder: records of the diagnosis go here.
        data: the result for `--json`; it gets the explanation.
        console: where to print the progress.
        stop_early: whether the trainings may stop after the epoch in which the runs diverged.
        created: files that the first run created and that were not there before.
        seconds: how long a run takes; None if that is not known.
        overwrite: whether other runs than those of a diagnosis may be replaced in `folder`.
        tries_fix: whether the fix is tried; None if it is only tried if that takes little time.
    """
    divergence = comparison.divergence
    assert divergence is not None
    may_try = tries_fix or (tries_fix is None and (seconds or 0.0) * 2 < _LITTLE_TIME)
    watcher = DiagnosisWatcher(console, MOST_TRAININGS, seconds)
    with watcher:
        explanation = _diagnose(
            task,
            divergence,
            folder,
            watcher,
            console,
            stop_early=stop_early,
            created=created,
            overwrite=overwrite,
            second_epoch=may_try,
        )
    if may_try:
        explanation = _tried(
            task,
            explanation,
            divergence if stop_early or created else None,
            folder,
            console,
            seconds=watcher.seconds,
            created=created,
            always=bool(tries_fix),
        )
    notes = comparison.notes
    if explanation.cause == "unknown":
        explanation = _with_recorded_evidence(explanation, divergence, data.get("leftovers") or ())
    else:
        # The cause is known, so this note on what might have been the cause is obsolete.
        notes = tuple(n for n in notes if n != HASH_SEEDS_DIFFER)
    data["divergence"] |= explanation.to_divergence(data["divergence"])
    data["notes"] = list(notes)
    if explanation.cause != "unknown":
        divergence = replace(divergence, cause=explanation.cause, explanation=explanation.sentence)
    return Answer(replace(comparison, divergence=divergence, notes=notes), explanation)


def _diagnose(
    task: Task,
    divergence: Divergence,
    folder: Path,
    watcher: DiagnosisWatcher,
    console: Console,
    *,
    stop_early: bool,
    created: Sequence[str],
    overwrite: bool,
    second_epoch: bool,
) -> Explanation:
    run = partial(
        diagnose, task, folder=folder, watcher=watcher, overwrite=overwrite, second_epoch=second_epoch
    )
    if created:
        try:
            return run(divergence, created=created)
        except LaunchError as error:  # The script may need files that were not copied.
            print_line(console, f"not diagnosed in a copy of the folder: {error}")
    return run(divergence if stop_early else None)


def _tried(
    task: Task,
    explanation: Explanation,
    divergence: Divergence | None,
    folder: Path,
    console: Console,
    *,
    seconds: float | None,
    created: Sequence[str],
    always: bool,
) -> Explanation:
    """Try the fix, if it is code, and if that takes little time or `always` is true."""
    trainings = trainings_of_trial(explanation)
    estimate = (seconds or 0.0) * trainings
    if estimate >= _LITTLE_TIME and not always and fixed_files(task, explanation) is not None:
        reason = f"it would take about {duration(estimate)}: --try-fix tries it"
        return replace(explanation, fix_tried=FixTrial(result="not tried", reason=reason))
    try:
        with DiagnosisWatcher(console, trainings, seconds, purpose="trying the fix") as watcher:
            return try_fix(task, explanation, divergence, folder=folder, watcher=watcher, created=created)
    except RunFolderError as error:  # The cause is known all the same.
        return replace(explanation, fix_tried=FixTrial(result="not tried", reason=str(error)))


def _with_recorded_evidence(
    explanation: Explanation, divergence: Divergence, leftovers: Sequence[str]
) -> Explanation:
    """Add what the ledgers show to an explanation without a cause."""
    evidence = list(explanation.evidence)
    if divergence.explanation:
        evidence.append(f"the ledgers show: {divergence.explanation}")
    if leftovers:
        evidence.append(f"the first run left files that the second could read: {', '.join(leftovers)}")
    return replace(
        explanation,
        cause=divergence.cause,
        place=explanation.place or divergence.place(),
        variable=explanation.variable or divergence.tensor,
        evidence=tuple(evidence),
    )
