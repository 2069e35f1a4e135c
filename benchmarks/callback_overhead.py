"""Measure the time that `DeterminismCallback` adds to an epoch, in alternating epochs of one training.

    python benchmarks/callback_overhead.py [--model mlp|resnet50] [--seconds 1] [--pairs 30]
    python benchmarks/callback_overhead.py --model resnet50 --seconds 30 --pairs 3     # 5 minutes
    python benchmarks/callback_overhead.py --recording                                 # both models, seconds

Bar: a ratio of at most 1.01 for epochs of 30 s and of 1 s. The time of an epoch is from its start to the
start of the next, so it includes the effect of recording on the next steps. `--recording` trains no epochs.
It measures recording alone, digests and sketches with all weights changed, as a share of such epochs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from pairs import Pairs, print_table

import keras_repro as kr


class EveryOther(kr.DeterminismCallback):
    """Record one epoch of each pair; measure the time of both."""

    def __init__(self, run_dir: str) -> None:
        super().__init__(run_dir)
        self.times: list[float] = []
        self.own: list[float] = []
        self._last = 0.0

    @staticmethod
    def recorded(epoch: int) -> bool:
        """Return whether the epoch is the recorded one of its pair; the order alternates."""
        return (epoch + epoch // 2) % 2 == 1

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        now = time.perf_counter()
        if epoch:
            self.times.append(now - self._last)
        self._last = now
        super().on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        if self.recorded(epoch):
            began = time.perf_counter()
            super().on_epoch_end(epoch, logs)
            self.own.append(time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", choices=["mlp", "resnet50"], default="mlp")
    parser.add_argument("--seconds", type=float, default=1.0, help="seconds per epoch")
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--recording", action="store_true", help="measure recording alone")
    options = parser.parse_args()
    if options.recording:
        _recording("mlp, 0.30 M", _mlp()[0], 1.0)
        _recording("resnet50, 23.6 M", _resnet50()[0], 30.0)
        return
    model, dataset = _mlp() if options.model == "mlp" else _resnet50()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(dataset, steps_per_epoch=5, verbose=0)
    began = time.perf_counter()
    calibration = 10 if options.model == "resnet50" else 400
    model.fit(dataset, steps_per_epoch=calibration, verbose=0)
    step = (time.perf_counter() - began) / calibration
    steps = max(1, round(options.seconds / step))
    epochs = 2 * options.pairs + 3  # the first pair is warm-up, the last epoch has no next one
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        callback = EveryOther(f"{folder}/run")
        model.fit(dataset, steps_per_epoch=steps, epochs=epochs, callbacks=[callback], verbose=0)
    base, other = [], []
    for first in range(2, len(callback.times) - 1, 2):
        for epoch in (first, first + 1):
            (other if callback.recorded(epoch) else base).append(callback.times[epoch])
    count = min(len(base), len(other))
    name = f"{options.model}, {model.count_params() / 1e6:.2f} M, epochs of {options.seconds:g} s"
    print_table([Pairs(name, tuple(base[:count]), tuple(other[:count]))])
    added = statistics.median(o - b for b, o in zip(base, other, strict=False))
    own = statistics.median(callback.own[1:])
    print(f"added: {added * 1e3:.1f} ms per epoch by the pairs; bar: ratio 1.01")
    print(f"recording itself: {own * 1e3:.1f} ms, {1 + own / statistics.median(base):.4f} as a ratio")


def _recording(name: str, model: keras.Model, seconds: float, runs: int = 15) -> None:
    """Print the time of an epoch's record with and without sketches, alternating, each after a real step."""
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).normal(size=(16, *model.input_shape[1:])).astype("float32")
    y = np.zeros(16, "int64")
    model.train_on_batch(x, y)
    taken: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        recorders = {
            s: kr.Recorder(f"{folder}/{s}", model=model, optimizers=[model.optimizer], sketches=s)
            for s in taken
        }
        for recorder in recorders.values():
            for _ in range(3):  # the first ones walk the model again
                recorder.epoch()
        for number in range(runs):
            for sketches in (True, False) if number % 2 else (False, True):
                model.train_on_batch(x, y)
                began = time.perf_counter()
                recorders[sketches].epoch({"loss": 0.5})
                taken[sketches].append(time.perf_counter() - began)
        for recorder in recorders.values():
            recorder.end()
        size = os.path.getsize(f"{folder}/True/sketches.bin") / (runs + 4)
    both, digests = (statistics.median(taken[s]) for s in (True, False))
    print(
        f"{name}: {both * 1e3:.1f} ms with sketches, {digests * 1e3:.1f} ms without; "
        f"{1 + both / seconds:.4f} of an epoch of {seconds:g} s (bar: 1.01); {size / 1e3:.0f} kB per epoch"
    )


def _mlp() -> tuple[keras.Model, tf.data.Dataset]:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((128,)),
            layers.Dense(512, "relu"),
            layers.Dense(420, "relu"),
            layers.Dense(64, "relu"),
            layers.Dense(10, "softmax"),
        ]
    )
    return model, _data((128,), 64)


def _resnet50() -> tuple[keras.Model, tf.data.Dataset]:
    model = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=10)
    return model, _data((32, 32, 3), 16)


def _data(shape: tuple[int, ...], batch_size: int) -> tf.data.Dataset:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, *shape)).astype("float32")
    y = rng.integers(0, 10, size=512)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(batch_size).cache().repeat()


if __name__ == "__main__":
    main()
