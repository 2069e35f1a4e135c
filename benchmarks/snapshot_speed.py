"""Compare writing and restoring a snapshot with plain writing and reading, in alternating pairs.

    python benchmarks/snapshot_speed.py [--pairs 15] [--folder .] [--megabytes 300]

The state is that of 25 M parameters with Adam (300 MB in 84 arrays). Bars: writing takes at most 1.3 times
the time of writing and fsyncing the same bytes to a file in the same folder; restoring (digest checked,
arrays ready) at most 1.3 times the time of reading them into new memory. Both read from the page cache.

With `--background`: the time that a training waits for a snapshot written in the background (in the callback,
and by a longer next step), relative to one copy of the same bytes in memory.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from pairs import Pairs, alternate, print_table

from keras_repro.storage.snapshot_file import Snapshot, write_snapshot


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--folder", default=".", help="folder for the files (default: the working folder)")
    parser.add_argument("--background", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder, prefix="snapshot-speed-"))
    try:
        if options.background:
            _background(folder, options.pairs)
        else:
            _on_the_disk(folder, options.pairs, options.megabytes)
    finally:
        shutil.rmtree(folder)


def _on_the_disk(folder: Path, pairs: int, megabytes: int) -> None:
    draw = np.random.default_rng(0)
    count = megabytes * 250_000  # float32
    # Layers of very different sizes, as in a real model. The largest has a third of the elements.
    sizes = [count // 3, *[count // 80] * 50, *[1024] * 32]
    sizes.append(count - sum(sizes))
    arrays = {f"layers/{n}": draw.random(size, "float32") for n, size in enumerate(sizes)}
    whole = np.concatenate(list(arrays.values())).view("u1")
    plain, path = folder / "plain", folder / "snapshot.h5"

    def write_plain() -> float:
        plain.unlink(missing_ok=True)
        start = time.perf_counter()
        descriptor = os.open(plain, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        rest = memoryview(whole)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
        os.close(descriptor)
        return time.perf_counter() - start

    def write_ours() -> float:
        path.unlink(missing_ok=True)
        start = time.perf_counter()
        write_snapshot(path, arrays, metadata={"position": {"epoch": 1}})
        return time.perf_counter() - start

    def read_plain() -> float:
        start = time.perf_counter()
        with open(plain, "rb", buffering=0) as file:
            data = np.empty(os.fstat(file.fileno()).st_size, "u1")
            rest = memoryview(data)
            while rest:
                rest = rest[file.readinto(rest) :]
        return time.perf_counter() - start

    digest = write_snapshot(path, arrays)

    def read_ours() -> float:
        start = time.perf_counter()
        with Snapshot(path, digest=digest, whole=True) as snapshot:
            arrays_read = {name: snapshot.array(name) for name in snapshot.arrays}
        seconds = time.perf_counter() - start
        assert len(arrays_read) == len(arrays)
        return seconds

    write_plain(), write_ours()
    written = alternate(f"writing {megabytes} MB, durable", write_plain, write_ours, pairs=pairs)
    write_plain()
    digest = write_snapshot(path, arrays)
    read_plain(), read_ours()
    print_table([written, alternate(f"restoring {megabytes} MB", read_plain, read_ours, pairs=pairs)])


def _background(folder: Path, pairs: int) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    import keras_repro as kr
    from keras_repro.training.resume.resume_callback import ResumeCallback

    class Clock(keras.callbacks.Callback):
        """Record the start of each step; the time between two starts is a step with all callbacks."""

        def __init__(self) -> None:
            super().__init__()
            self.begins: list[float] = []

        def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
            self.begins.append(time.perf_counter())

    waits: list[float] = []
    take = ResumeCallback._save

    def timed(self: object, *arguments: object) -> None:
        start = time.perf_counter()
        take(self, *arguments)  # type: ignore[arg-type]
        waits.append(time.perf_counter() - start)

    ResumeCallback._save = timed  # type: ignore[method-assign, assignment]
    every = 8  # enough steps to finish writing before the next snapshot
    x = np.random.default_rng(0).random((4 * every * (pairs + 1), 5000), "float32")
    clock = Clock()
    trainer = kr.ReproducibleTrainer(_large, seed=1, batch_size=4)
    trainer.fit(
        x, x[:, :10], run_dir=folder / "run", epochs=1, snapshot_every=every, background=True,
        callbacks=[clock], verbose=0, sketches=False,
    )  # fmt: skip
    steps = np.diff(clock.begins)
    # A step that ends with a snapshot, and the next one, relative to two steps without a snapshot.
    marked = range(2 * every - 1, len(steps) - 1, every)
    added = [float(steps[i] + steps[i + 1] - steps[i - 2] - steps[i - 1]) for i in marked]
    size = 75_060_030 * 4
    block = np.ones(size, "u1")

    def copied() -> float:
        start = time.perf_counter()
        block.copy()
        return time.perf_counter() - start

    copies = [copied() for _ in range(pairs)]
    print(f"step time {statistics.median(steps) * 1e3:.0f} ms; snapshots of {size / 1e6:.0f} MB")
    print(f"wait in the callback: {statistics.median(waits[1:-2]) * 1e3:.1f} ms")
    print_table([Pairs("added to two steps over one copy", tuple(copies[: len(added)]), tuple(added))])


def _large() -> object:
    import keras

    layers = [keras.Input((5000,)), keras.layers.Dense(5000), keras.layers.Dense(10)]
    model = keras.Sequential(layers)
    model.compile("adam", "mse")
    return model


if __name__ == "__main__":
    main()
