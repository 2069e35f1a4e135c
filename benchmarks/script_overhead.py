"""Measure whole scripts, bare and as a child of `keras-repro verify`, in alternating fresh processes.

    python benchmarks/script_overhead.py [--pairs 6] [--epochs 60]

The script imports Keras, trains for some seconds and evaluates. Processor seconds are printed too: they
hardly depend on what else the machine does. Bar: a ratio of 1.10 for a training of 5 to 10 seconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pairs import Pairs, alternate, print_table

from keras_repro.processes.child import LAUNCHER
from keras_repro.processes.task import Task

SCRIPT = """\
import sys
import keras
import numpy as np

keras.utils.set_random_seed(1)
x = np.random.rand(8192, 20).astype("float32")
y = x.sum(1, keepdims=True)
layers = [keras.layers.Dense(64, activation="relu"), keras.layers.Dense(1)]
model = keras.Sequential([keras.Input((20,)), *layers])
model.compile("adam", "mse")
model.fit(x, y, epochs=int(sys.argv[1]), verbose=0)
model.evaluate(x, y, verbose=0)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args()
    environment = os.environ | {"PYTHONHASHSEED": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    processor: dict[str, list[float]] = {"bare": [], "observed": []}

    def measured(kind: str, run: Callable[[], int]) -> float:
        before, began = os.times(), time.perf_counter()
        if run():
            raise SystemExit(f"the {kind} script has failed")
        seconds, after = time.perf_counter() - began, os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        processor[kind].append(used)
        return seconds

    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "train.py"
        script.write_text(SCRIPT)
        task = Task(script=str(script), arguments=(str(options.epochs),))

        def bare() -> int:
            command = [sys.executable, str(script), str(options.epochs)]
            return subprocess.run(command, env=environment, check=False, capture_output=True).returncode

        def observed() -> int:
            run = Path(tempfile.mkdtemp(dir=folder))
            return LAUNCHER.start(task.plan(run, redirect=True), environment=environment).wait().code

        result = alternate(
            "observed over bare",
            lambda: measured("bare", bare),
            lambda: measured("observed", observed),
            pairs=options.pairs,
        )
    seconds = Pairs("processor seconds", *(tuple(processor[kind]) for kind in ("bare", "observed")))
    print_table([result, seconds])


if __name__ == "__main__":
    main()
