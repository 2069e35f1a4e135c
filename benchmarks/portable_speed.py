"""Measure the cost of portable training: epochs of one training, alternating between processes.

    python benchmarks/portable_speed.py [--models mlp cnn transformer] [--pairs 12] [--seconds 0.5]
    python benchmarks/portable_speed.py --search          # check ResNet50's graph (bar: 2 s)

Three processes per model: portable; pinned to the same threads and switches without the mode (bar: a ratio
of 1.15); and TensorFlow's defaults with all CPUs (no bar).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from pairs import Pairs, alternate, print_table

from keras_repro.determinism.portable_pins import portable_environment

MODELS = ("mlp", "cnn", "transformer")
KINDS = ("default", "pinned", "portable")


class Worker:
    """A process that trains an epoch on request and reports its time."""

    def __init__(self, model: str, kind: str, seconds: float) -> None:
        pins = {} if kind == "default" else portable_environment(1)
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker", model, kind, str(seconds)],
            env=os.environ | pins | {"TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.step = self._answer()

    def epoch(self) -> float:
        """Train an epoch; return the seconds per step."""
        assert self._process.stdin is not None
        self._process.stdin.write("epoch\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> float:
        assert self._process.stdout is not None
        return float(self._process.stdout.readline())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=0.5, help="seconds per epoch")
    parser.add_argument("--search", action="store_true", help="time the check of ResNet50's graph")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _work(*options.worker)
    elif options.search:
        _search()
    else:
        rows: list[Pairs] = []
        for model in options.models:
            workers = {kind: Worker(model, kind, options.seconds) for kind in KINDS}
            for kind in ("pinned", "default"):
                base, other = workers[kind].epoch, workers["portable"].epoch
                rows.append(alternate(f"{model}, portable over {kind}", base, other, pairs=options.pairs))
            for worker in workers.values():
                worker.close()
        print_table(rows)
        print("milliseconds per step; bar: a ratio of 1.15 over pinned")


def _work(model: str, kind: str, seconds: str) -> None:
    import contextlib

    from keras_repro.training.portable.mode import PortableMode

    with PortableMode() if kind == "portable" else contextlib.nullcontext():
        built, dataset = _built(model)
        built.fit(dataset, steps_per_epoch=10, verbose=0)
        step = _seconds(built, dataset, 20)
        steps = max(5, round(float(seconds) / step))
        print(step, flush=True)
        for _ in sys.stdin:
            print(_seconds(built, dataset, steps), flush=True)


def _seconds(model: Any, dataset: Any, steps: int) -> float:
    began = time.perf_counter()
    model.fit(dataset, steps_per_epoch=steps, verbose=0)
    return (time.perf_counter() - began) / steps


def _built(name: str) -> Any:
    import keras
    import numpy as np
    import tensorflow as tf
    from keras import layers

    shape = {"mlp": (128,), "cnn": (32, 32, 3), "transformer": (32, 64)}[name]
    inputs = keras.Input(shape)
    x: Any = inputs
    if name == "mlp":
        for width in (512, 256):
            x = layers.Dense(width, use_bias=False)(x)
            x = layers.Dropout(0.2)(layers.ReLU()(layers.BatchNormalization()(x)))
    elif name == "cnn":
        for filters in (16, 32, 64):
            x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
        x = layers.GlobalAveragePooling2D()(x)
    else:
        for _ in range(2):
            y = layers.LayerNormalization()(x)
            x = layers.Add()([x, layers.MultiHeadAttention(4, 16)(y, y)])
            y = layers.Dense(256, activation="gelu")(layers.LayerNormalization()(x))
            x = layers.Add()([x, layers.Dense(64)(y)])
        x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(inputs, layers.Dense(10, activation="softmax")(x))
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    rng = np.random.default_rng(0)
    x_train = rng.normal(size=(512, *shape)).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x_train, rng.integers(0, 10, size=512)))
    return model, data.batch(32).cache().repeat()


def _search() -> None:
    import keras
    import numpy as np
    import tensorflow as tf

    from keras_repro.training.graph.traced_step import traced_step
    from keras_repro.training.portable.mode import PortableMode
    from keras_repro.training.portable.operation_check import find_unportable_operations

    with PortableMode():
        model = keras.applications.ResNet50(weights=None, input_shape=(64, 64, 3), classes=10)
        model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
        x, y = np.zeros((8, 64, 64, 3), "float32"), np.zeros(8, int)
        data = tf.data.Dataset.from_tensor_slices((x, y)).batch(4)
        model._symbolic_build(data_batch=next(iter(data)))
        model.make_train_function()
        concrete, _ = traced_step(model.train_function, iter(data))  # the training needs this trace too
        for _ in range(3):
            began, busy = time.perf_counter(), time.process_time()
            findings = find_unportable_operations(concrete, layers={})
            seconds, used = time.perf_counter() - began, time.process_time() - busy
            print(f"ResNet50: {seconds:.2f} s ({used:.2f} s of CPU), {len(findings)} findings; bar: 2 s")


if __name__ == "__main__":
    main()
