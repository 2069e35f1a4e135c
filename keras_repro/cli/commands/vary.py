"""`keras-repro verify --vary`: a script under other surroundings, each alone against one baseline."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_repro.cli.common import (
    DIFFERENT,
    SAME,
    check_file,
    check_json,
    fail,
    folder_name,
    script_words,
    task_of_options,
    write_json,
    write_text,
)
from keras_repro.errors import LaunchError

# A diagnosis costs up to four trainings: those that `--explain` spends are bounded.
MOST_EXPLAINED = 3


def command(options: argparse.Namespace) -> int:
    from keras_repro.processes.task import check_task
    from keras_repro.report.console.terminal import make_console, shown_path
    from keras_repro.report.console.variations import VaryWatcher, print_catalogue, print_variations
    from keras_repro.storage.run_folder import new_folder
    from keras_repro.workflows.vary.catalogue import CATALOGUE, chosen
    from keras_repro.workflows.vary.runner import VariationRunner

    console = make_console()
    if options.vary in ("list", "help"):
        print_catalogue(CATALOGUE, console)
        return SAME
    variations = chosen(options.vary)
    task = replace(task_of_options(options, enforced=options.enforce), keep_hash_seed=True)
    check_task(task)
    check_json(options)
    check_file(options.html)
    folder = Path(options.run_dir) if options.run_dir else new_folder(folder_name(options))
    words = " ".join([script_words(options), *options.arguments])
    how = "every switch pinned" if options.enforce else "observed as it is"
    many = "1 variation" if len(variations) == 1 else f"{len(variations)} variations"
    console.print(
        f"{many} of: {words}\n({how}; a baseline and a repeat first)",
        markup=False,
        soft_wrap=True,
    )
    try:
        with (
            VariationRunner(
                task,
                folder=folder,
                copy=not options.no_copy,
                overwrite=options.force,
                keep_going=options.keep_going,
                jobs=options.jobs,
                watcher=(watcher := VaryWatcher(console)),
            ) as runner,
        ):
            if runner.copies is not None:
                roots = ", ".join(shown_path(r) for r in runner.copies.roots)
                console.print(f"in copies of {roots}", markup=False, soft_wrap=True)
            with watcher:
                result = runner.run(variations)
            if options.explain:
                result = _explained(result, runner, console)
    except KeyboardInterrupt:
        return fail(
            f"interrupted: the child has ended, copies are removed, what was recorded is kept in {folder}"
        )
    print_variations(result, console)
    write_json(options, result.to_dict())
    if options.html is not None:
        from keras_repro.report.html.vary_page import render_variations

        write_text(options.html, render_variations(result, script=words))
    return _exit_code(result)


def _explained(result: Any, runner: Any, console: Any) -> Any:
    """The result with explanations of the first that differ; what they cost is bounded, and said."""
    from keras_repro.report.console.diagnosis import print_explanation
    from keras_repro.workflows.diagnose import MOST_TRAININGS

    differing = [result.repeat] if result.repeat.verdict == "differs" else result.with_verdict("differs")
    explained = {}
    for outcome in differing[:MOST_EXPLAINED]:
        console.print(
            f"\nwhy {outcome.name} differs (at most {MOST_TRAININGS} trainings):",
            markup=False,
            soft_wrap=True,
        )
        try:
            found = runner.explain(outcome)
        except LaunchError as error:  # that it differs is known all the same
            fail(f"the cause was not found: {error}", error.output)
            continue
        print_explanation(found, console)
        explained[outcome.name] = replace(outcome, explanation=found)
    left = [o.name for o in differing[MOST_EXPLAINED:]]
    notes = result.notes
    if left:
        why = f"explained are the first {MOST_EXPLAINED}: --vary {left[0]} --explain goes on"
        notes = (*notes, f"{why} ({', '.join(left)} left)")
    return replace(
        result,
        repeat=explained.get(result.repeat.name, result.repeat),
        outcomes=tuple(explained.get(o.name, o) for o in result.outcomes),
        notes=notes,
    )


def _exit_code(result: Any) -> int:
    if result.repeat.verdict == "differs" or result.with_verdict("differs", "could not run"):
        return DIFFERENT
    if not result.with_verdict("repeats"):
        return fail("none of the variations could be tried here")
    return SAME
