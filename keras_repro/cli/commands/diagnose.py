"""`keras-repro diagnose`: find out why two recorded runs diverge."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from keras_repro.cli.exit_codes import comparison_exit_code
from keras_repro.cli.output_files import check_output_file, write_json
from keras_repro.cli.run_folders import parent_folder
from keras_repro.comparison.compare import compare_all
from keras_repro.comparison.divergence import Divergence
from keras_repro.comparison.notes import HASH_SEEDS_DIFFER
from keras_repro.comparison.result import Comparison
from keras_repro.errors import LaunchError
from keras_repro.processes.task import Task
from keras_repro.report.console.comparison import print_comparison
from keras_repro.report.console.diagnosis import print_explanation
from keras_repro.report.console.terminal import make_console, print_line
from keras_repro.root_cause.explanation import Explanation
from keras_repro.workflows.diagnose import MOST_TRAININGS, diagnose
from keras_repro.workflows.reproduce.recorded_task import task_from_specs
from keras_repro.workflows.reproduce.run_spec import read_run_spec


def command(options: argparse.Namespace) -> int:
    console = make_console()
    check_output_file(options.json)
    comparison = compare_all([options.a, options.b], same_script=True)
    data = comparison.to_dict()
    if comparison.divergence is not None:
        specs = [read_run_spec(ledger) for ledger in comparison.ledgers]
        comparison = explain(
            task_from_specs(specs),
            comparison,
            parent_folder(options, "diagnosis"),
            data,
            console,
            # The ledger of a callback or a trainer counts only the fits that it saw itself.
            stop_early=all(spec.of_whole_script for spec in specs),
        )
    print_comparison(comparison, console)
    write_json(options, data)
    return comparison_exit_code(comparison)


def explain(
    task: Task,
    comparison: Comparison,
    folder: Path,
    data: dict[str, Any],
    console: Console,
    *,
    stop_early: bool,
    created: Sequence[str] = (),
) -> Comparison:
    """Diagnose why runs diverged, print the explanation, and add it to the comparison.

    Args:
        task: the task of the runs.
        comparison: their comparison; it has a divergence.
        folder: records of the diagnosis go here.
        data: the result for `--json`; it gets the explanation.
        console: where to print.
        stop_early: whether the trainings may stop after the epoch in which the runs diverged.
        created: files that the first run created and that were not there before.
    """
    divergence = comparison.divergence
    assert divergence is not None
    explanation = _diagnose(task, divergence, folder, console, stop_early=stop_early, created=created)
    notes = comparison.notes
    if explanation.cause == "unknown":
        explanation = _with_recorded_evidence(explanation, divergence, data.get("leftovers") or ())
    else:
        # The cause is known, so this note on what might have been the cause is obsolete.
        notes = tuple(n for n in notes if n != HASH_SEEDS_DIFFER)
    print_explanation(explanation, console)
    data["divergence"] |= explanation.to_divergence()
    data["notes"] = list(notes)
    if explanation.cause != "unknown":
        divergence = replace(divergence, cause=explanation.cause, explanation=explanation.sentence)
    return replace(comparison, divergence=divergence, notes=notes)


def _diagnose(
    task: Task,
    divergence: Divergence,
    folder: Path,
    console: Console,
    *,
    stop_early: bool,
    created: Sequence[str],
) -> Explanation:

    def on_start(number: int) -> None:
        print_line(console, f"diagnosing: training {number} of at most {MOST_TRAININGS}")

    if created:
        try:
            return diagnose(task, divergence, folder=folder, on_start=on_start, created=created)
        except LaunchError as error:  # The script may need files that were not copied.
            print_line(console, f"not diagnosed in a copy of the folder: {error}")
    return diagnose(task, divergence if stop_early else None, folder=folder, on_start=on_start)


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
