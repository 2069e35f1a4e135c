"""`keras-repro verify --vary`: run a script once under each changed condition, against one baseline."""

from __future__ import annotations

import argparse
from dataclasses import replace

from rich.console import Console

from keras_repro.cli.exit_codes import OK, fail, variations_exit_code
from keras_repro.cli.output_files import write_json, write_text
from keras_repro.cli.run_folders import interruption_reported, parent_folder, script_name
from keras_repro.cli.script_task import (
    command_words,
    mode_words,
    published_command_words,
    task_from_options,
)
from keras_repro.errors import LaunchError, RunFolderError
from keras_repro.report.console.diagnosis import print_explanation
from keras_repro.report.console.progress import DiagnosisWatcher
from keras_repro.report.console.terminal import make_console, print_line, shown_path
from keras_repro.report.console.variations import VaryWatcher, print_catalogue, print_variations
from keras_repro.report.html.vary_page import render_variations
from keras_repro.report.text import counted
from keras_repro.workflows.diagnose import MOST_TRAININGS
from keras_repro.workflows.vary.catalogue import CATALOGUE, chosen
from keras_repro.workflows.vary.results import Variations
from keras_repro.workflows.vary.runner import VariationRunner

# A diagnosis takes up to four trainings: limit those of `--explain`.
_MOST_DIAGNOSED = 3


def command(options: argparse.Namespace) -> int:
    console = make_console()
    if options.vary in ("list", "help"):
        print_catalogue(CATALOGUE, console)
        return OK
    variations = chosen(options.vary)
    task = replace(task_from_options(options), keep_hash_seed=True)
    folder = parent_folder(options, script_name(options))
    print_line(console, f"{counted(len(variations), 'variation')} of: {command_words(options)}")
    print_line(console, f"({mode_words(options)}; a baseline and a repeat run first)")
    watcher = VaryWatcher(console)
    with (
        interruption_reported(f"the copies are removed, the records are kept in {folder}"),
        VariationRunner(
            task,
            folder=folder,
            copy=not options.no_copy,
            overwrite=options.force,
            keep_going=options.keep_going,
            jobs=options.jobs,
            watcher=watcher,
        ) as runner,
    ):
        if runner.copies is not None:
            roots = ", ".join(shown_path(r) for r in runner.copies.roots)
            print_line(console, f"working in copies of {roots}")
        with watcher:
            result = runner.run(variations)
        if options.explain:
            result = _explain(result, runner, console)
    print_variations(result, console)
    write_json(options, result.to_dict())
    if options.html is not None:
        write_text(options, options.html, render_variations(result, script=published_command_words(options)))
    return variations_exit_code(result)


def _explain(result: Variations, runner: VariationRunner, console: Console) -> Variations:
    """Diagnose the first variations that differ, and add their explanations to the result."""
    repeat_differs = result.repeat.verdict == "differs"
    differing = [result.repeat] if repeat_differs else result.with_verdict("differs")
    explained = {}
    for outcome in differing[:_MOST_DIAGNOSED]:
        print_line(console, "")
        print_line(console, f"why {outcome.name} differs:")
        try:
            with DiagnosisWatcher(console, MOST_TRAININGS, outcome.seconds or None) as watcher:
                explanation = runner.explain(outcome, watcher)
        except (LaunchError, RunFolderError) as error:  # The difference itself is known all the same.
            fail(f"the cause was not found: {error}", getattr(error, "output", ""))
            continue
        print_explanation(explanation, console)
        explained[outcome.name] = replace(outcome, explanation=explanation)
    notes = result.notes
    if others := ",".join(o.name for o in differing[_MOST_DIAGNOSED:]):
        notes += (
            f"only the first {_MOST_DIAGNOSED} are diagnosed; for the others: --vary {others} --explain",
        )
    return replace(
        result,
        repeat=explained.get(result.repeat.name, result.repeat),
        outcomes=tuple(explained.get(o.name, o) for o in result.outcomes),
        notes=notes,
    )
