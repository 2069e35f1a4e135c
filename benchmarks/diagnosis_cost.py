"""Measure the cost of a diagnosis: trainings, steps in each, time relative to a bare run, and memory.

    python benchmarks/diagnosis_cost.py [--widths 475 2000] [--steps 200] [--diverge-at 150] [--release]

The script is an MLP with Adam whose labels get unseeded noise from one step on. It runs bare (`python
SCRIPT`), then twice under `keras-repro verify`, then it is diagnosed. Memory is the peak of each process as
the system reports it (VmHWM), read ten times a second until the process ends. This includes freed memory
that was not returned; with `--release`, large blocks are returned when they are freed (which takes time).

Bar: at most four trainings, none beyond the first step that differs, and at most one more copy of the
state.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_repro.processes.child import Launcher, start_interpreter
from keras_repro.processes.task import Task
from keras_repro.storage.run_folder import TRACE_NAME
from keras_repro.storage.trace_file import StepEndEvent, read_trace
from keras_repro.workflows.diagnose import diagnose
from keras_repro.workflows.verify import verify

SCRIPT = """
import sys
import keras
import numpy as np

width, steps, diverge_at = map(int, sys.argv[1:])
keras.utils.set_random_seed(1)
x = np.random.default_rng(0).normal(size=(64, 128)).astype("float32")
y = np.random.default_rng(1).normal(size=(64, 10)).astype("float32")

def batches():
    noise = np.random.default_rng()
    for step in range(steps):
        yield x, y if step < diverge_at else (y + noise.normal(size=y.shape)).astype("float32")

dense = [keras.layers.Dense(width, "relu") for _ in range(2)]
model = keras.Sequential([keras.Input((128,)), *dense, keras.layers.Dense(10)])
model.compile("adam", "mse", jit_compile=False)
model.fit(batches(), steps_per_epoch=steps // 2, epochs=2, verbose=0)
"""


@dataclass
class Watched:
    """A child process with its peak memory and its time."""

    process: Any
    began: float
    peak: int = 0
    seconds: float = 0.0

    @property
    def pid(self) -> int:
        return int(self.process.pid)

    def poll(self) -> int | None:
        self.peak = max(self.peak, _peak(self.pid))
        code = self.process.poll()
        if code is not None and not self.seconds:
            self.seconds = time.perf_counter() - self.began
        return None if code is None else int(code)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.process, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="+", default=[475, 2000])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--diverge-at", type=int, default=150)
    parser.add_argument("--release", action="store_true", help="return freed memory at once")
    options = parser.parse_args()
    if options.release:
        os.environ["MALLOC_MMAP_THRESHOLD_"] = "65536"  # of glibc
    print(f"{'':<34} {'seconds':>8} {'over bare run':>14} {'steps':>6} {'peak MB':>8}  above recording")
    for width in options.widths:
        _measure(width, options.steps, options.diverge_at)


def _measure(width: int, steps: int, diverge_at: int) -> None:
    state = 4 * 3 * (128 * width + width * width + 10 * width + 2 * width + 10)  # weights and two slots each
    print(f"{state / 1e6:.1f} MB of state, {steps} steps, labels differ from step {diverge_at + 1}")
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "script.py")
        script.write_text(SCRIPT)
        arguments = tuple(map(str, (width, steps, diverge_at)))
        bare = _bare([sys.executable, str(script), *arguments], folder)
        _row("python SCRIPT", bare.seconds, bare.seconds, steps, bare.peak)
        task = Task(script=str(script), arguments=arguments)
        children: list[Watched] = []

        def start(command: Sequence[str], environment: Mapping[str, str], output: Any) -> Any:
            began = time.perf_counter()
            children.append(Watched(start_interpreter(command, environment, output), began))
            return children[-1]

        verification = verify(task, folder=Path(folder, "verify"), runs=2, launcher=Launcher(start))
        recording = children[0]
        for number, child in enumerate(children, start=1):
            _row(f"verify, run {number}", child.seconds, bare.seconds, None, child.peak)
        children.clear()
        where = Path(folder, "diagnosis")
        explanation = diagnose(
            task, verification.comparison.divergence, folder=where, launcher=Launcher(start)
        )
        for number, child in enumerate(children, start=1):
            made = _steps(where / str(number))
            more = (child.peak - recording.peak) / state
            _row(f"diagnosis, training {number}", child.seconds, bare.seconds, made, child.peak, more)
        seconds = sum(c.seconds for c in children)
        _row(f"diagnosis, {explanation.trainings} trainings", seconds, bare.seconds, None, None)
        line = "not found" if explanation.source is None else explanation.source["code"]
        print(f"  result: {explanation.cause} at {explanation.place}: {line}")


def _bare(command: Sequence[str], folder: str) -> Watched:
    began = time.perf_counter()
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    child = Watched(process, began)
    while child.poll() is None:
        time.sleep(0.1)
    return child


def _peak(pid: int) -> int:
    """Return the peak memory of a process in bytes; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def _steps(folder: Path) -> int:
    """Return how many steps a diagnosing process made, including the last one, which differs."""
    return sum(isinstance(i.checked, StepEndEvent) for i in read_trace(folder / TRACE_NAME))


def _row(
    name: str, seconds: float, base: float, steps: int | None, peak: int | None, more: float | None = None
) -> None:
    cells = [
        f"{seconds:8.1f}",
        f"{seconds / base:14.2f}",
        f"{'' if steps is None else steps:>6}",
        f"{'' if peak is None else round(peak / 1e6):>8}",
        "" if more is None else f" {more:.1f} copies of the state",
    ]
    print(f"  {name:<32} {' '.join(cells)}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
