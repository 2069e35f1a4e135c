"""`keras-repro reproduce`: re-run a recorded run and compare while it trains."""

from __future__ import annotations

import argparse
import sys

from rich.console import Console

from keras_repro.cli.exit_codes import comparison_exit_code
from keras_repro.cli.output_files import write_json
from keras_repro.cli.run_folders import interruption_reported, single_run_folder
from keras_repro.comparison.divergence import Divergence
from keras_repro.errors import ReproError
from keras_repro.report.console.progress import ProgressWatcher
from keras_repro.report.console.reproduction import print_preparation, print_statement
from keras_repro.report.console.terminal import make_console, print_line
from keras_repro.storage.run_folder import OUTPUT_NAME
from keras_repro.workflows.reproduce.reproduce import Preparation, prepare, reproduce


def command(options: argparse.Namespace) -> int:
    console = make_console()
    preparation = prepare(
        options.run, script=options.script, arguments=options.arguments, pin=not options.no_pin
    )
    print_preparation(preparation, console)
    _check_missing(preparation, options)
    _ask(options, console)
    folder = single_run_folder(options, "reproduction", writes=[OUTPUT_NAME])

    def on_divergence(divergence: Divergence) -> None:
        text = f"diverged: {divergence.describe()}; the run continues so that it can be graded"
        print_line(console, text)

    with (
        interruption_reported(f"its records are kept in {folder}"),
        ProgressWatcher(console, 1) as watcher,
    ):
        result = reproduce(preparation, folder=folder, watcher=watcher, on_divergence=on_divergence)
    print_statement(result, console)
    write_json(options, result.to_dict())
    return comparison_exit_code(result.comparison)


def _check_missing(preparation: Preparation, options: argparse.Namespace) -> None:
    """Refuse to run if recorded code or files are missing or changed, except with `--anyway`."""
    runnable = preparation.script_is_here
    if not preparation.missing or (options.anyway and runnable):
        return
    reasons = ", ".join(f"{f.what} ({f.implies})" for f in preparation.missing)
    hint = "; to run it nevertheless: --anyway" if runnable else ""
    raise ReproError(f"cannot reproduce {options.run}: {reasons}{hint}")


def _ask(options: argparse.Namespace, console: Console) -> None:
    """Ask before running the command of a ledger, which may come from an untrusted source."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise ReproError("aborted: pass --yes to run the recorded command without asking")
    console.print("Run this command here? [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ReproError("aborted: nothing was run")
