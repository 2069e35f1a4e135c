"""Measure time and memory of `keras-repro compare` on two long ledgers with sketches, in fresh processes.

    python benchmarks/compare_speed.py [--epochs 1000] [--tensors 200] [--runs 7]

Compares equal runs, and runs that diverge in the middle, whose distances are estimated from sketches.
Bar: 1,000 epochs x 200 tensors in 2 s and 200 MB, without TensorFlow.
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

import numpy as np

from keras_repro.ledger.schema import Header, Record
from keras_repro.ledger.writer import LedgerWriter
from keras_repro.storage.digest import array_digest, section_digest
from keras_repro.storage.linear_sketch import NUMBERS
from keras_repro.storage.run_folder import SKETCHES_NAME
from keras_repro.storage.sketch_file import SketchedTensor, SketchWriter


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--tensors", type=int, default=200)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: Path(folder, name) for name in ("a", "same", "other")}
        for name, run in runs.items():
            _write(run, options.epochs, options.tensors, options.epochs // 2 if name == "other" else None)
        sizes = [os.path.getsize(runs["a"] / n) / 1e6 for n in ("ledger.jsonl", SKETCHES_NAME)]
        print(
            f"runs of {options.epochs} epochs x {options.tensors} tensors: ledgers of {sizes[0]:.1f} MB, "
            f"sketches of {sizes[1]:.1f} MB"
        )
        for name in ("same", "other"):
            measured = [_compare([runs["a"], runs[name]]) for _ in range(options.runs)]
            seconds = statistics.median(s for s, _ in measured)
            slowest = max(s for s, _ in measured)
            memory = max(m for _, m in measured)
            title = "equal runs" if name == "same" else "runs that diverge in the middle"
            print(f"{title}: median {seconds:.2f} s, slowest {slowest:.2f} s (bar: 2 s)")
            print(f"  peak memory {memory:.0f} MB (bar: 200 MB)")


def _write(run: Path, epochs: int, tensors: int, diverge_at: int | None) -> None:
    names = [f"layers/{i // 2}/{'kernel' if i % 2 else 'bias'}" for i in range(tensors)]
    described = [SketchedTensor(n, "float32", (100, 100)) for n in names]
    rng = np.random.default_rng(0)
    with (
        LedgerWriter.create(run, Header(coverage="sm", created=run.name)) as ledger,
        SketchWriter(run / SKETCHES_NAME) as sketches,
    ):
        ledger.append(Record(kind="fit", fit=0, sections={"fit": array_digest("fit", 0)}))
        for epoch in range(epochs):
            diverged = diverge_at is not None and epoch >= diverge_at
            digests = {n: array_digest(n, (epoch, diverged)) for n in names}
            rows = rng.normal(size=(tensors, 1, NUMBERS)) + diverged
            kind = "start" if epoch == 0 else "epoch"
            record = Record(
                kind=kind,
                fit=0,
                epoch=epoch - 1 if epoch else None,
                sections={"weights": section_digest(digests)},
                tensors={"weights": digests},
                metrics={"loss": 1 / (epoch + 1)},
                shapes={t.name: [t.dtype, list(t.shape), f"model/{t.name}"] for t in described if not epoch},
            )
            sketches.append(
                record.position, record.sections["weights"], list(zip(described, rows, strict=True))
            )
            ledger.append(record)
        ledger.append(Record(kind="end", fit=0, extra={"status": "finished"}))


def _compare(runs: list[Path]) -> tuple[float, float]:
    code = (
        "import sys, resource, keras_repro.cli.main as c; code = c.main(sys.argv[1:]); "
        "assert 'tensorflow' not in sys.modules; "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, file=sys.stderr); sys.exit(code)"
    )
    began = time.perf_counter()
    command = [sys.executable, "-c", code, "compare", *map(str, runs)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return time.perf_counter() - began, float(done.stderr.split()[-1])


if __name__ == "__main__":
    main()
