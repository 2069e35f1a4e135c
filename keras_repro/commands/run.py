"""`keras-repro run`: one run of a script, everything pinned, recorded."""

from __future__ import annotations

import argparse

from keras_repro.commands.common import (
    CHILD_MODULE,
    SAME,
    check_json,
    folder_name,
    script_words,
    task_of_options,
    write_json,
)


def command(options: argparse.Namespace) -> int:
    from keras_repro.examine import launch, verify
    from keras_repro.examine.outcome import check_outcome
    from keras_repro.record.folders import LEDGER_NAME, make_run_folder, new_folder
    from keras_repro.record.ledger import read_ledger

    task = task_of_options(options, enforced=True)
    verify.check_task(task)
    check_json(options)
    if options.run_dir is None:
        folder = new_folder(folder_name(options))
    else:
        folder = make_run_folder(options.run_dir, overwrite=options.force)
        for stale in (folder / LEDGER_NAME, *folder.glob(f"{launch.UNOBSERVED}*")):
            stale.unlink(missing_ok=True)
    outcome = launch.run_child(
        task.plan(folder, redirect=False),
        child_module=CHILD_MODULE,
        environment=task.environment(),
        keep_output=False,
    )
    check_outcome(outcome, folder, name=script_words(options))
    ledger = read_ledger(folder)
    print(f"recorded in {folder}, fingerprint {ledger.fingerprint}")
    write_json(options, {"format": 1, "ledger": str(ledger.path), "fingerprint": ledger.fingerprint})
    return SAME
