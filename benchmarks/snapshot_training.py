"""Compare a training with one background snapshot per epoch with one without, in alternating pairs.

    python benchmarks/snapshot_training.py [--pairs 3] [--seconds 30] [--units 5000]

Bar: a ratio of at most 1.02, for 25 M parameters with Adam (300 MB per snapshot) and epochs of 30 seconds.
Each side trains in its own process. Its time is the median of its epochs after the first. Both are recorded.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

from pairs import alternate, epoch_clock, print_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=30, help="approximate seconds per epoch")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument(
        "--units", type=int, default=5000, help="units of a square layer (5000: 25 M parameters)"
    )
    parser.add_argument("--folder", default=".", help="folder for the runs (default: the working folder)")
    parser.add_argument("--steps", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child", choices=["without", "with"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_child(options)))
        return
    options.steps = 20
    step = _process("without", options) / options.steps
    options.steps = max(2, round(options.seconds / step))
    print(f"steps of {step * 1e3:.0f} ms, {options.steps} per epoch")
    print_table(
        [
            alternate(
                f"one snapshot per epoch, {options.units**2 // 1000} k parameters",
                lambda: _process("without", options),
                lambda: _process("with", options),
                pairs=options.pairs,
            )
        ]
    )


def _process(side: str, options: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--child", side]
    for name in ("epochs", "units", "folder", "steps"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _child(options: argparse.Namespace) -> float:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import numpy as np

    import keras_repro as kr

    def build() -> keras.Model:
        layers = [keras.Input((options.units,)), keras.layers.Dense(options.units), keras.layers.Dense(10)]
        model = keras.Sequential(layers)
        model.compile("adam", "mse")
        return model

    x = np.random.default_rng(0).random((32 * 8, options.units), "float32")
    clock = epoch_clock()
    asked = {"snapshot_every": "epoch", "background": True} if options.child == "with" else {}
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="snapshot-training-") as folder:
        trainer = kr.ReproducibleTrainer(build, seed=1, batch_size=32)
        trainer.fit(
            x,
            x[:, :10],
            epochs=options.epochs,
            steps_per_epoch=options.steps,
            run_dir=f"{folder}/run",
            callbacks=[clock],
            verbose=0,
            **asked,
        )
    spans = [b - a for a, b in zip(clock.times[1:], clock.times[2:], strict=False)]
    return statistics.median(spans)


if __name__ == "__main__":
    main()
