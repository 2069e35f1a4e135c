"""Kill trainings at random moments and at every change on the disk, and count the exact resumes.

    make crash-test N=1000

First N kills of several kinds of training (`kills`), then N / 10 of the same with Keras's own
BackupAndRestore, then crashes of a small run at each write, fsync and rename (`points`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent)]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from crash import points  # noqa: E402
from crash.kills import KINDS, OF_KERAS, Kills, print_table  # noqa: E402
from forkserver import ForkServer  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=20, help="kills in all (20)")
    parser.add_argument("--keras", type=int, help="kills under BackupAndRestore (a tenth, from 20)")
    parser.add_argument("--minutes", type=float, default=600, help="time limit of our kills (600)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (0)")
    parser.add_argument("--only", choices=["kills", "points"], help="run one of the two parts")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="crash-test-"))
    os.chdir(folder)
    bad = 0
    if options.only != "points":
        bad += _kills(folder, options)
    if options.only != "kills":
        print("\nCrashes at every change of a small run", flush=True)
        bad += points.main(["--deaths"])
    if not bad:
        shutil.rmtree(folder)
    return int(bad > 0)


def _kills(folder: Path, options: argparse.Namespace) -> int:
    of_keras = max(options.count // 10, 20) if options.keras is None else options.keras
    until = time.monotonic() + 60 * options.minutes
    with ForkServer() as server:
        kills = Kills(server, folder, seed=options.seed)
        scores = kills.scores(KINDS, count=options.count, until=until)
        print("Killed at random moments", flush=True)
        bad = print_table(scores)
        if of_keras:
            print("\nThe same with Keras's own BackupAndRestore", flush=True)
            print_table(kills.scores(OF_KERAS, count=of_keras))
    return bad


if __name__ == "__main__":
    sys.exit(main())
