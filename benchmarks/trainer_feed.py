"""Compare `trainer.fit` with `model.fit` on the same arrays, in alternating fresh processes.

    python benchmarks/trainer_feed.py [--pairs 8]

Bar: a ratio of at most 1.02, for steps under 1 ms too. The time of a process is the median of its epochs
after the first two. `model.fit` runs with Keras's defaults; with `--same-switches` it gets op determinism,
as the trainer does.
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

# Samples, input width, units, batch size, steps per execution.
SIZES = {
    "fused": (20_000, 16, 8, 32, 32),
    "tiny": (20_000, 16, 8, 32, 1),
    "small": (20_000, 64, 128, 32, 1),
    "wide": (4_000, 256, 1024, 64, 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--same-switches", action="store_true")
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--child", nargs=2, metavar=("SIDE", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_child(*options.child, options.epochs, options.same_switches)))
        return
    rows = []
    for name in options.sizes:
        samples, _, _, batch_size, _ = SIZES[name]
        steps = -(-samples // batch_size)
        result = alternate(
            name,
            lambda name=name: _process("model", name, options),
            lambda name=name: _process("trainer", name, options),
            pairs=options.pairs,
        )
        rows.append(result)
        print(f"{name}: {steps} steps of {statistics.median(result.base) / steps * 1e3:.3f} ms per epoch")
    print_table(rows)


def _process(side: str, size: str, options: argparse.Namespace) -> float:
    command = [sys.executable, __file__, "--child", side, size, "--epochs", str(options.epochs)]
    if options.same_switches:
        command.append("--same-switches")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def _child(side: str, size: str, epochs: int, same_switches: bool) -> float:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import numpy as np
    import tensorflow as tf

    import keras_repro as kr

    samples, width, units, batch_size, execution = SIZES[size]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples, width)).astype("float32")
    y = rng.normal(size=(samples, 1)).astype("float32")

    def build() -> keras.Model:
        layers = [keras.Input((width,)), keras.layers.Dense(units, "relu"), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile("sgd", "mse", steps_per_execution=execution)
        return model

    clock = epoch_clock()
    if same_switches:
        tf.config.experimental.enable_op_determinism()
    with tempfile.TemporaryDirectory() as folder:
        if side == "trainer":
            trainer = kr.ReproducibleTrainer(build, seed=1, batch_size=batch_size)
            trainer.fit(x, y, epochs=epochs, run_dir=f"{folder}/r", callbacks=[clock], verbose=0)
        else:
            keras.utils.set_random_seed(1)
            build().fit(x, y, epochs=epochs, batch_size=batch_size, callbacks=[clock], verbose=0)
    spans = [b - a for a, b in zip(clock.times[2:], clock.times[3:], strict=False)]
    return statistics.median(spans)


if __name__ == "__main__":
    main()
