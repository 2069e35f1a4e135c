"""The small training of tests/crash, stopped after one of its changes: FOLDER NUMBER TORN LOG."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from crash import small_run
from crash.disk import RecordedDisk

folder, number, torn, log = sys.argv[1:]
with RecordedDisk(Path(folder), stop_at=int(number), torn=float(torn), log=Path(log)):
    small_run.train(Path(folder))
