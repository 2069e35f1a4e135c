"""`keras-repro diagnose`: why two runs parted."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_repro.cli.common import check_json, exit_code, write_json
from keras_repro.errors import LaunchError


def command(options: argparse.Namespace) -> int:
    from keras_repro.comparison.compare import compare_all
    from keras_repro.report.console.comparison import print_comparison
    from keras_repro.report.console.terminal import make_console
    from keras_repro.storage.run_folder import new_folder
    from keras_repro.workflows.reproduce.recorded_task import are_of_whole_scripts, task_from_runs

    console = make_console()
    check_json(options)
    comparison = compare_all([options.a, options.b], same_script=True)
    data = comparison.to_dict()
    if comparison.divergence is not None:
        task = task_from_runs([options.a, options.b])
        folder = Path(options.run_dir) if options.run_dir else new_folder("diagnosis")
        # A callback or a trainer numbers only the fits that it saw itself.
        whole = are_of_whole_scripts([options.a, options.b])
        comparison = explain(task, comparison, folder, data, console, upto=whole)
    print_comparison(comparison, console)
    write_json(options, data)
    return exit_code(comparison)


def explain(
    task: Any,
    comparison: Any,
    folder: Path,
    data: dict[str, Any],
    console: Any,
    *,
    upto: bool = True,
    created: Sequence[str] = (),
) -> Any:
    """Finds out why runs parted, prints it, adds it to the data for machines and to the comparison.

    `upto` says whether the trainings may end behind the epoch in which the runs parted; `created` are files
    that the first run has made, where they were not before.
    """
    from keras_repro.comparison.notes import HASH_SEEDS_DIFFER
    from keras_repro.report.console.diagnosis import print_explanation
    from keras_repro.workflows.diagnose import MOST_TRAININGS, diagnose

    def on_start(number: int) -> None:
        console.print(f"diagnosing: training {number} of at most {MOST_TRAININGS}", markup=False)

    parted = comparison.divergence
    found = None
    if created:
        try:
            found = diagnose(task, parted, folder=folder, on_start=on_start, created=created)
        except LaunchError as error:  # it may need what was not copied
            console.print(f"not in a copy of its folder: {error}", markup=False, soft_wrap=True)
    if found is None:
        upto_there = parted if upto else None
        found = diagnose(task, upto_there, folder=folder, on_start=on_start)
    notes = comparison.notes
    if found.cause == "unknown":
        # What the ledgers tell is not lost where running it again tells nothing.
        left = ", ".join(data.get("leftovers") or ())
        files = (f"the first run left files that the second could read: {left}",) if left else ()
        told = (f"the ledgers tell: {parted.explanation}",) if parted.explanation else ()
        found = replace(
            found,
            cause=parted.cause,
            place=found.place or parted.place(),
            variable=found.variable or parted.tensor,
            evidence=(*found.evidence, *told, *files),
        )
    else:
        notes = tuple(n for n in notes if n != HASH_SEEDS_DIFFER)  # what might have been the cause
    print_explanation(found, console)
    data["divergence"] |= found.to_divergence()
    data["notes"] = list(notes)
    known = {"cause": found.cause, "explanation": found.sentence} if found.cause != "unknown" else {}
    return replace(comparison, divergence=replace(parted, **known), notes=notes)
