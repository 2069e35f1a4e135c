"""Measure the time that `DeterminismCallback(every="step")` adds to a step, in alternating epochs.

    python benchmarks/step_overhead.py [--pairs 30] [--every 1 10] [--widths 32 475 2000] [--batches]

With `--batches`: the time that a trainer's `every="step"` adds, which also digests the batches.

Bar: the time added to a step is at most 1.3 times the time to hash the state's bytes in one large buffer
(XXH3-128), plus 0.15 ms, for the state alone. The buffer is hashed once after each of some steps, as a state
is. Hashed repeatedly it comes from a cache, which gives a second, lower bar. The time of an epoch is from the
start of its first step to the end of its last, so it includes the effect of recording on the next steps.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import xxhash
from pairs import Pairs, print_table

from keras_repro.training.recording.fit_callback import FitCallback
from keras_repro.training.recording.recording_options import RecordingOptions
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.state.fast_reader import StateReader


class EveryOther(FitCallback):
    """Record the steps of one epoch of each pair; measure the time of a step in both."""

    def __init__(self, run_dir: str, every: int, steps: int, *, batches: bool) -> None:
        options = RecordingOptions(every=every, batches=batches)
        super().__init__(RunRecorder(run_dir, options, coverage="sm"))
        self.times: list[float] = []
        self.own: list[float] = []
        self._steps, self._now, self._start = steps, 0, 0.0

    @staticmethod
    def recorded(epoch: int) -> bool:
        """Return whether the epoch is the recorded one of its pair; the order alternates."""
        return (epoch + epoch // 2) % 2 == 1

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        super().on_epoch_begin(epoch, logs)
        if self._observer is not None and not self.recorded(epoch):
            self._observer.uninstall()  # installed again when the next epoch begins
        self._now, self._start = epoch, time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        if self.recorded(self._now):
            began = time.perf_counter()
            super().on_train_batch_end(batch, logs)
            self.own.append(time.perf_counter() - began)

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        self.times.append((time.perf_counter() - self._start) / self._steps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--every", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--widths", type=int, nargs="+", default=[32, 475, 2000])
    parser.add_argument("--batches", action="store_true")
    options = parser.parse_args()
    rows, notes = [], []
    for width in options.widths:
        model, data = _mlp(width)
        size, hashing, cached = _hashing(model, data)
        for every in options.every:
            name = f"{size / 1e6:.1f} MB, every {every}"
            row, own = _measure(name, model, data, every, options.pairs, batches=options.batches)
            added = statistics.median(o - b for b, o in zip(row.base, row.other, strict=True))
            bar, low = ((1.3 * t + 0.15e-3) / every for t in (hashing, cached))
            notes.append(
                f"{name}: {added * 1e3:.3f} ms added to a step, {own * 1e3:.3f} ms of it in the callback; "
                f"bar {bar * 1e3:.3f} ms (one buffer is hashed in {hashing * 1e3:.3f} ms after a step), or "
                f"{low * 1e3:.3f} ms ({cached * 1e3:.3f} ms in a loop)"
            )
            rows.append(row)
    print("base: a step without recording; with: a recorded step")
    print_table(rows)
    print("\n".join(notes))


def _measure(
    name: str, model: keras.Model, data: tf.data.Dataset, every: int, pairs: int, *, batches: bool
) -> tuple[Pairs, float]:
    """Return the pairs, and the seconds per step in the callback (per record if N is 1)."""
    model.fit(data, steps_per_epoch=20, verbose=0)
    began = time.perf_counter()
    model.fit(data, steps_per_epoch=40, verbose=0)
    # Long enough that the ends of an epoch are negligible, and a whole number of records.
    steps = max(4, round(0.3 / ((time.perf_counter() - began) / 40) / every)) * every
    with tempfile.TemporaryDirectory() as folder:
        callback = EveryOther(f"{folder}/run", every, steps, batches=batches)
        epochs = 2 * pairs + 2  # the first pair is warm-up
        model.fit(data, steps_per_epoch=steps, epochs=epochs, callbacks=[callback], verbose=0)
    times = list(enumerate(callback.times))[2:]
    base = tuple(t for epoch, t in times if not callback.recorded(epoch))
    other = tuple(t for epoch, t in times if callback.recorded(epoch))
    own = statistics.median(callback.own[every * 10 :]) if every == 1 else statistics.mean(callback.own)
    return Pairs(name, base, other), own


def _mlp(width: int) -> tuple[keras.Model, tf.data.Dataset]:
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((128,)), *(layers.Dense(width, "relu") for _ in range(2)), layers.Dense(10, "softmax")]
    )
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 128)).astype("float32")
    y = rng.integers(0, 10, size=512)
    return model, tf.data.Dataset.from_tensor_slices((x, y)).batch(64).cache().repeat()


def _hashing(model: keras.Model, data: tf.data.Dataset) -> tuple[int, float, float]:
    """Return the bytes of a model's state, and the seconds to hash as many: after a step, and in a loop."""
    size = sum(len(memoryview(t.numpy()).tobytes()) for t in StateReader(model).copy())
    buffer = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)

    def seconds() -> float:
        began = time.perf_counter()
        xxhash.xxh3_128_digest(buffer)
        return time.perf_counter() - began

    model.fit(data, steps_per_epoch=20, verbose=0)
    times: list[float] = []
    after = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: times.append(seconds()))
    model.fit(data, steps_per_epoch=60, callbacks=[after], verbose=0)
    again = [seconds() for _ in range(50)]
    return size, statistics.median(times), statistics.median(again)


if __name__ == "__main__":
    main()
