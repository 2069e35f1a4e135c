"""`keras-repro verify`: runs of a script in fresh processes, compared."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_repro.cli.commands.diagnose import explain
from keras_repro.cli.common import (
    check_json,
    exit_code,
    fail,
    folder_name,
    script_words,
    task_of_options,
    write_json,
)
from keras_repro.errors import LaunchError


def command(options: argparse.Namespace) -> int:
    if options.vary is not None:
        from keras_repro.cli.commands import vary

        return vary.command(options)
    from keras_repro.processes.hash_seeds import hash_seeds
    from keras_repro.processes.task import check_task
    from keras_repro.report.console.comparison import print_comparison
    from keras_repro.report.console.progress import ProgressWatcher
    from keras_repro.report.console.terminal import make_console
    from keras_repro.storage.run_folder import new_folder
    from keras_repro.workflows import verify

    console = make_console()
    task = task_of_options(options, enforced=options.enforce)
    check_task(task)
    check_json(options)
    if not task.keep_hash_seed:
        task = replace(task, hash_seeds=hash_seeds(task.script, options.runs))
    folder = Path(options.run_dir) if options.run_dir else new_folder(folder_name(options))
    _announce(options, console)
    try:
        with ProgressWatcher(console, options.runs) as watcher:
            result = verify.verify(
                task,
                folder=folder,
                runs=options.runs,
                overwrite=options.force,
                keep_going=options.keep_going,
                watcher=watcher,
            )
    except KeyboardInterrupt:
        return fail(f"interrupted: the child has ended, what was recorded is kept in {folder}")
    data = result.to_dict()
    comparison = result.comparison
    if options.explain and comparison.divergence is not None:
        # A file that a run changes at its end may be what the next one differs by: let it come to its end.
        upto = not result.leftovers
        where = folder / "diagnosis"
        try:
            comparison = explain(task, comparison, where, data, console, upto=upto, created=result.created)
        except LaunchError as error:  # that they part is known all the same
            fail(f"the cause was not found: {error}", error.output)
    print_comparison(comparison, console)
    write_json(options, data)
    return exit_code(comparison)


def _announce(options: argparse.Namespace, console: Any) -> None:
    words = " ".join([script_words(options), *options.arguments])
    how = "every switch pinned" if options.enforce else "observed as it is"
    if not options.enforce and not options.keep_hash_seed:
        how += ", but with a hash seed of its own for each run"
    console.print(f"{options.runs} runs of: {words}\n({how})", markup=False, soft_wrap=True)
