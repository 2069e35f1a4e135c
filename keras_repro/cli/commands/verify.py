"""`keras-repro verify`: run a script several times in fresh processes and compare the runs."""

from __future__ import annotations

import argparse
from dataclasses import replace

from keras_repro.cli.commands import vary
from keras_repro.cli.commands.diagnose import Answer, explain
from keras_repro.cli.exit_codes import comparison_exit_code, fail
from keras_repro.cli.output_files import write_json
from keras_repro.cli.run_folders import interruption_reported, parent_folder, script_name
from keras_repro.cli.script_task import command_words, mode_words, task_from_options
from keras_repro.errors import LaunchError, RunFolderError
from keras_repro.processes.hash_seeds import hash_seeds
from keras_repro.report.console.comparison import print_comparison
from keras_repro.report.console.progress import ProgressWatcher
from keras_repro.report.console.terminal import make_console, print_line
from keras_repro.workflows.verify import verify


def command(options: argparse.Namespace) -> int:
    if options.vary is not None:
        return vary.command(options)

    console = make_console()
    task = task_from_options(options)
    if not task.keep_hash_seed:
        task = replace(task, hash_seeds=hash_seeds(task.script, options.runs))
    folder = parent_folder(options, script_name(options))
    own_hash_seeds = not options.enforce and not options.keep_hash_seed
    exception = ", but each run gets its own hash seed" if own_hash_seeds else ""
    print_line(console, f"{options.runs} runs of: {command_words(options)}")
    print_line(console, f"({mode_words(options)}{exception})")
    with (
        interruption_reported(f"its records are kept in {folder}"),
        ProgressWatcher(console, options.runs) as watcher,
    ):
        result = verify(
            task,
            folder=folder,
            runs=options.runs,
            overwrite=options.force,
            keep_going=options.keep_going,
            watcher=watcher,
        )
    data = result.to_dict()
    comparison, answer = result.comparison, Answer(result.comparison)
    if options.explain and comparison.divergence is not None:
        try:
            answer = explain(
                task,
                comparison,
                folder / "diagnosis",
                data,
                console,
                # The runs may differ by a file that a run changes at its end: then let the trainings finish.
                stop_early=not result.leftovers,
                created=result.created,
                seconds=result.outcomes[0].seconds,
                tries_fix=options.try_fix,
            )
        except (LaunchError, RunFolderError) as error:  # The divergence itself is known all the same.
            fail(f"the cause was not found: {error}", getattr(error, "output", ""))
    hint = "" if options.explain else "--explain re-runs the script to find it"
    print_comparison(answer.comparison, console, answer.explanation, how_to_explain=hint)
    write_json(options, data)
    return comparison_exit_code(comparison)
