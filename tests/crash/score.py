"""Kills a training at random moments, resumes it, and counts what came back.

    make crash-test N=100

Each line of the table is one kind of training. A killed run counts as good when its folder opens, no record
that was written is lost, and the resumed run ends with the fingerprint, the weights, the history and the
CSV file of the run that nothing interrupted.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from forkserver import ForkServer  # noqa: E402

from keras_repro.examine.launch import Child, Plan  # noqa: E402
from keras_repro.record.ledger import read_ledger  # noqa: E402

CHILD = "keras_repro.training.instrument"
KINDS = (("mlp", "3"), ("mlp", "epoch"), ("gan", "2"), ("loss scale", "1"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=20, help="kills in all (20)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (0)")
    options = parser.parse_args()
    moments = random.Random(options.seed)
    bad = 0
    folder = Path(tempfile.mkdtemp(prefix="crash-test-"))
    os.chdir(folder)
    print(f"{'training':12} {'snapshots':10} {'kills':>6} {'same':>6} {'began anew':>11} {'not same':>9}")
    with ForkServer() as server:
        for number, (kind, every) in enumerate(KINDS):
            assert _train(server, kind, f"whole-{number}", every) == 0
            whole = Path(f"whole-{number}")
            header = os.stat(whole / "lock").st_mtime  # the moment when the run began
            seconds = os.stat(whole / "snapshots" / "resume-end.h5").st_mtime - header
            expected = _result(f"whole-{number}")
            kills = options.count // len(KINDS) + (number < options.count % len(KINDS))
            same = anew = 0
            for attempt in range(kills):
                run_dir = f"run-{number}-{attempt}"
                _train(server, kind, run_dir, every, kill_after=moments.uniform(0, seconds))
                ledger = Path(run_dir, "ledger.jsonl")
                before = list(read_ledger(run_dir).records()) if ledger.exists() else []
                anew += not any(r["kind"] == "snapshot" for r in before)
                good = _train(server, kind, run_dir, every) == 0 and _result(run_dir) == expected
                good = good and list(read_ledger(run_dir).records())[: len(before)] == before
                same += good
                if not good:
                    print(f"  not the same: {folder / run_dir}")
                else:
                    shutil.rmtree(run_dir)
            bad += kills - same
            print(f"{kind:12} {every:10} {kills:6} {same:6} {anew:11} {kills - same:9}", flush=True)
    if not bad:
        shutil.rmtree(folder)
    print(f"{options.count} kills, {options.count - bad} came back as the run that nothing interrupted")
    return int(bad > 0)


def _train(
    server: ForkServer, kind: str, run_dir: str, every: str, *, kill_after: float | None = None
) -> int:
    """Trains in a process of its own; returns its exit code."""
    process = Path(f"{run_dir}-process")
    shutil.rmtree(process, ignore_errors=True)
    process.mkdir()
    script = str(TESTS / "scripts" / "interrupted.py")
    plan = Plan(folder=process, script=script, arguments=(kind, run_dir, every))
    child = Child(plan, child_module=CHILD, environment=os.environ, start=server.start)
    end = None
    while (outcome := child.poll()) is None:
        if kill_after is not None and end is None and Path(run_dir, "lock").exists():
            end = time.monotonic() + kill_after
        if end is not None and time.monotonic() >= end:
            os.kill(child._process.pid, signal.SIGKILL)
            kill_after = end = None
        time.sleep(0.002)
    return outcome.code


def _result(run_dir: str) -> object:
    path = Path(f"{run_dir}.json")
    return json.loads(path.read_text()) if path.exists() else None


if __name__ == "__main__":
    sys.exit(main())
