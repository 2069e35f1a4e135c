"""`keras-repro reproduce`: does again what a run recorded, comparing while it trains."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from keras_repro.cli.common import check_json, exit_code, fail, write_json
from keras_repro.errors import ReproError


def command(options: argparse.Namespace) -> int:
    from keras_repro.processes.protocol import UNOBSERVED
    from keras_repro.report.console.progress import ProgressWatcher
    from keras_repro.report.console.reproduction import print_preparation, print_statement
    from keras_repro.report.console.terminal import make_console
    from keras_repro.storage.run_folder import LEDGER_NAME, make_run_folder, new_folder
    from keras_repro.workflows.reproduce.reproduce import prepare, reproduce

    console = make_console()
    check_json(options)
    preparation = prepare(
        options.run, script=options.script, arguments=options.arguments, pin=not options.no_pin
    )
    print_preparation(preparation, console)
    missing = preparation.missing
    runnable = preparation.script_is_here
    if missing and not (options.anyway and runnable):
        listed = ", ".join(f"{f.what} ({f.implies})" for f in missing)
        anyway = "; to go on all the same: --anyway" if runnable else ""
        raise ReproError(f"it cannot be done again as it was: {listed}{anyway}")
    _ask(options)
    if options.run_dir is None:
        folder = new_folder("reproduction")
    else:
        folder = make_run_folder(options.run_dir, overwrite=options.force)
        for stale in (folder / LEDGER_NAME, *folder.glob(f"{UNOBSERVED}*")):
            stale.unlink(missing_ok=True)

    def on_divergence(divergence: Any) -> None:
        text = f"parted: {divergence.describe()}; it goes on, so that the grade is known"
        console.print(text, markup=False, soft_wrap=True)

    try:
        with ProgressWatcher(console, 1) as watcher:
            result = reproduce(preparation, folder=Path(folder), watcher=watcher, on_divergence=on_divergence)
    except KeyboardInterrupt:
        return fail(f"interrupted: the child has ended, what was recorded is kept in {folder}")
    print_statement(result, console)
    write_json(options, result.to_dict())
    return exit_code(result.comparison)


def _ask(options: argparse.Namespace) -> None:
    """A ledger may be a stranger's: its command runs only where the user says so."""
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise ReproError("nothing was run: --yes says that this command may be run here")
    print("Run this command here? [y/N] ", end="", flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ReproError("nothing was run")
