"""Train models of `models.py` in this process and print each result, one JSON object per line.

    python tests/portable/child.py [--plain] [--threads N] [--epochs N] NAME...

A line has `model`, `fingerprint` and, of a portable run, `same_at` and `because` (what the check says of
threads). `--plain` trains without the mode.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from pathlib import Path

from models import BATCH, CASES, SEED

import keras_repro as kr
from keras_repro.ledger.reader import open_ledger


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="+", choices=sorted(CASES))
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--epochs", type=int, default=2)
    options = parser.parse_args()
    counts = ("intra_op_threads", "inter_op_threads")
    switches = {} if options.threads is None else dict.fromkeys(counts, options.threads)
    for name in options.names:
        case = CASES[name]
        trainer = kr.ReproducibleTrainer(
            case.compiled,
            seed=SEED,
            batch_size=BATCH,
            determinism="bitwise" if options.plain else "portable",
            switches=switches,
            strict=False,
        )
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
            run = trainer.fit(*case.data(), epochs=options.epochs, run_dir=Path(folder) / "run", verbose=0)
            portability = [r["portability"] for r in open_ledger(run.ledger).records() if "portability" in r]
        line = {"model": name, "fingerprint": run.fingerprint}
        line |= {n: portability[0][n] for n in ("level", "same_at", "because") if portability}
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
