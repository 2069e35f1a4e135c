"""Time and memory of `keras-repro compare` on two long ledgers, in a fresh process each time.

    python benchmarks/compare_speed.py [--epochs 1000] [--tensors 200] [--runs 7]

Bar: 1,000 epochs x 200 tensors under 2 s and 200 MB, without TensorFlow.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from keras_repro.record.digest import array_digest, section_digest
from keras_repro.record.ledger import Ledger
from keras_repro.record.schema import Header, Record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--tensors", type=int, default=200)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = [Path(folder, name) for name in ("a", "b")]
        for run in runs:
            _write(run, options.epochs, options.tensors)
        size = os.path.getsize(runs[0] / "ledger.jsonl") / 1e6
        print(f"two ledgers of {options.epochs} epochs x {options.tensors} tensors, {size:.1f} MB each")
        measured = [_compare(runs) for _ in range(options.runs)]
    seconds = statistics.median(s for s, _ in measured)
    slowest = max(s for s, _ in measured)
    memory = max(m for _, m in measured)
    print(f"keras-repro compare: median {seconds:.2f} s, slowest {slowest:.2f} s (bar: 2 s)")
    print(f"peak memory {memory:.0f} MB (bar: 200 MB)")


def _write(run: Path, epochs: int, tensors: int) -> None:
    names = [f"layers/{i}/{'kernel' if i % 2 else 'bias'}" for i in range(tensors)]
    with Ledger.create(run, Header(coverage="sm")) as ledger:
        ledger.append(Record(kind="fit", fit=0, sections={"fit": array_digest("fit", 0)}))
        for epoch in range(epochs):
            digests = {n: array_digest(n, epoch) for n in names}
            kind = "start" if epoch == 0 else "epoch"
            ledger.append(
                Record(
                    kind=kind,
                    fit=0,
                    epoch=epoch - 1 if epoch else None,
                    sections={"weights": section_digest(digests)},
                    tensors={"weights": digests},
                    metrics={"loss": 1 / (epoch + 1)},
                )
            )
        ledger.append(Record(kind="end", fit=0, extra={"status": "finished"}))


def _compare(runs: list[Path]) -> tuple[float, float]:
    code = (
        "import sys, resource, keras_repro.cli as c; code = c.main(sys.argv[1:]); "
        "assert 'tensorflow' not in sys.modules; "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr); sys.exit(code)"
    )
    began = time.perf_counter()
    command = [sys.executable, "-c", code, "compare", *map(str, runs)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - began, float(done.stderr.split()[-1])


if __name__ == "__main__":
    main()
