"""The digits example (dropout, batch norm, augmentation, shuffling) is killed at several moments."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from conftest import SCRIPTS, TESTS
from forkserver import ForkServer

from keras_repro.ledger.reader import open_ledger
from keras_repro.processes.protocol import Plan
from keras_repro.storage.run_folder import OUTPUT_NAME

EXAMPLE = str(TESTS.parent / "examples" / "digits_cnn.py")
# 45 steps per epoch, a snapshot every 10 steps.
MOMENTS = ("0.23", "0.44", "0.test", "0.end", "1.writing")


def test_example_killed_at_five_moments_equals_uninterrupted_run(forkserver: ForkServer, here: Path) -> None:
    def train(run_dir: str, moment: str) -> tuple[int, list[str]]:
        arguments = (moment, EXAMPLE, "--run-dir", run_dir, "--epochs", "2", "--snapshot-every", "10")
        folder = here / "launched" / f"{run_dir}-{moment}"
        folder.mkdir(parents=True)
        plan = Plan(folder=folder, script=str(SCRIPTS / "killed_at.py"), arguments=arguments)
        outcome = forkserver.launcher.start(plan, environment=os.environ).wait()
        return outcome.code, (folder / OUTPUT_NAME).read_text().splitlines()

    code, whole_output = train("whole", "never")
    assert code == 0, whole_output
    whole = open_ledger("whole")
    assert whole_output[-1] == whole.fingerprint
    for moment in MOMENTS:
        code, stopped = train("run", moment)
        assert code == -signal.SIGKILL, (moment, stopped)
    code, again = train("run", "never")
    assert code == 0, again
    assert again[-2:] == whole_output[-2:], "test loss, accuracy and fingerprint"
    assert _history("run") == _history("whole")
    assert len(_history("run")) == 2
    snapshots = sorted(p.name for p in Path("run/snapshots").iterdir())
    assert snapshots == sorted(p.name for p in Path("whole/snapshots").iterdir()), "incomplete files are left"


def _history(run_dir: str) -> list[Any]:
    return [r["metrics"] for r in open_ledger(run_dir).records() if r["kind"] == "epoch"]
