"""`keras-repro run`: one run of a script, everything pinned, recorded; with `--resume`, gone on with."""

from __future__ import annotations

import argparse
import os
import signal
import time
from pathlib import Path
from typing import Any

from keras_repro.cli.common import (
    MISUSE,
    SAME,
    check_json,
    fail,
    folder_name,
    script_words,
    task_of_options,
    write_json,
)
from keras_repro.errors import ReproError


def command(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from keras_repro.ledger.reader import open_ledger
    from keras_repro.processes import child as launch
    from keras_repro.processes.outcome import raise_for_outcome
    from keras_repro.processes.protocol import NOT_RESUMABLE, UNOBSERVED
    from keras_repro.processes.task import check_task
    from keras_repro.storage.run_folder import LEDGER_NAME, make_run_folder, new_folder

    task = task_of_options(options, enforced=True)
    check_task(task)
    check_json(options)
    if options.resume:
        folder = _folder_to_go_on(options)
    elif options.run_dir is None:
        folder = new_folder(folder_name(options))
    else:
        folder = make_run_folder(options.run_dir, overwrite=options.force)
        for stale in (folder / LEDGER_NAME, *folder.glob(f"{UNOBSERVED}*")):
            stale.unlink(missing_ok=True)
    plan = replace(task.plan(folder, redirect=False), resume=options.resume)
    child = launch.LAUNCHER.start(plan, environment=task.environment(), keep_output=False)
    outcome = _outcome_of_resumable(child) if options.resume else child.wait()
    if options.resume and outcome.code == NOT_RESUMABLE:
        return MISUSE  # the child has said why
    number = _interrupting(outcome.code)
    if options.resume and number:
        name = signal.Signals(number).name
        fail(f"{script_words(options)} was interrupted by {name}: the same command again goes on in {folder}")
        return 128 + number
    raise_for_outcome(outcome, folder, name=script_words(options))
    ledger = open_ledger(folder)
    print(f"recorded in {folder}, fingerprint {ledger.fingerprint}")
    write_json(options, {"format": 1, "ledger": str(ledger.path), "fingerprint": ledger.fingerprint})
    return SAME


def _folder_to_go_on(options: argparse.Namespace) -> Path:
    """The folder of a run that can be resumed; the same for the same script where none was named."""
    from keras_repro.storage.run_folder import make_run_folder, named_folder
    from keras_repro.storage.run_lock import RunLock

    if options.force:
        raise ReproError("--resume goes on with the run that --force would replace: leave out one of them")
    if options.run_dir is None:
        folder = named_folder(f"{folder_name(options)}-resumable")
    else:
        folder = make_run_folder(options.run_dir, overwrite=True)
    RunLock(folder).close()  # refused here, before a process is started for it
    return folder


def _interrupting(code: int) -> int:
    """The signal that ended a script by its exit code, 0 where none did."""
    return -code if code < 0 else signal.SIGINT if code == 128 + signal.SIGINT else 0


def _outcome_of_resumable(child: Any) -> Any:
    """Wait for a child; pass signals on to it, since it has a snapshot to write when it is interrupted."""
    from keras_repro.processes.child import POLL_SECONDS

    def hand_on(number: int, frame: Any) -> None:
        # Ctrl-C has reached the child too, for which a second one means to leave at once.
        if number != signal.SIGINT or not _is_in_foreground():
            child.signal(number)

    before = {n: signal.signal(n, hand_on) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        while (outcome := child.poll()) is None:
            time.sleep(POLL_SECONDS)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return outcome


def _is_in_foreground() -> bool:
    """Whether a terminal sends its signals to this process, and so to the child."""
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
