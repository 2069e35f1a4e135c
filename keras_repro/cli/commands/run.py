"""`keras-repro run`: run a script once with all switches pinned, and record it or resume the record."""

from __future__ import annotations

import argparse
import os
import signal
import time
from dataclasses import replace
from typing import Any

from keras_repro.cli.exit_codes import ERROR, OK, fail, interrupting_signal
from keras_repro.cli.output_files import write_json
from keras_repro.cli.run_folders import resumable_folder, script_name, single_run_folder
from keras_repro.cli.script_task import script_words, task_from_options
from keras_repro.ledger.reader import open_ledger
from keras_repro.processes.child import LAUNCHER, POLL_SECONDS, Child, Outcome
from keras_repro.processes.interruption import SIGNALS, announce
from keras_repro.processes.outcome import raise_for_outcome
from keras_repro.processes.protocol import NOT_RESUMABLE
from keras_repro.report.console.terminal import make_console, print_line


def command(options: argparse.Namespace) -> int:
    task = task_from_options(options)
    folder = resumable_folder(options) if options.resume else single_run_folder(options, script_name(options))
    plan = replace(task.plan(folder, redirect=False), resume=options.resume)
    child = LAUNCHER.start(plan, environment=task.environment(), keep_output=False)
    outcome = _wait_for_snapshot(child) if options.resume else child.wait()
    if options.resume and outcome.code == NOT_RESUMABLE:
        return ERROR  # The child has printed the reason.
    number = interrupting_signal(outcome.code)
    if options.resume and number:
        name = signal.Signals(number).name
        fail(
            f"{script_words(options)} was interrupted by {name}: "
            f"run the same command again to continue in {folder}"
        )
        return 128 + number
    raise_for_outcome(outcome, folder, name=script_words(options))
    ledger = open_ledger(folder)
    print_line(make_console(), f"recorded in {folder}, fingerprint {ledger.fingerprint}")
    write_json(options, {"format": 1, "ledger": str(ledger.path), "fingerprint": ledger.fingerprint})
    return OK


def _wait_for_snapshot(child: Child) -> Outcome:
    """Wait for a child; pass signals on to it, since it writes a snapshot when it is interrupted."""

    def pass_on(number: int, frame: Any) -> None:
        announce(number, "the script writes a snapshot and ends")
        # A terminal sends Ctrl-C to the child too, for which a second one means to stop at once.
        if number != signal.SIGINT or not _is_in_foreground():
            child.signal(number)

    handled = [n for n in SIGNALS if signal.getsignal(n) is not signal.SIG_IGN]
    previous = {n: signal.signal(n, pass_on) for n in handled}
    try:
        while (outcome := child.poll()) is None:
            time.sleep(POLL_SECONDS)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    return outcome


def _is_in_foreground() -> bool:
    """Return whether a terminal sends its signals to this process, and so to the child."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
