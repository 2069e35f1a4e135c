"""Measure speed and memory of digesting a model's state, relative to the hash library on one buffer.

    python benchmarks/digest_speed.py [--pairs 15]

Bar: at least 0.8 of the library's speed on one buffer of the same size; no second copy of the weights.
"""

from __future__ import annotations

import argparse
import os
import resource
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import blake3
import keras
import numpy as np
from pairs import alternate, print_table

from keras_repro.training.state.digests import StateDigests
from keras_repro.training.state.walk import StateWalk


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    options = parser.parse_args()
    rows = []
    for name, model in _models():
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        names = StateWalk(model)
        state = names.tensors()
        size = sum(t.variable.dtype.size * t.variable.shape.num_elements() for t in state)
        buffer = np.random.default_rng(0).integers(0, 255, size, dtype=np.uint8)
        walk = min(_seconds(names.tensors) for _ in range(5))
        look = min(_seconds(lambda names=names: names.tensors(full=False)) for _ in range(5))
        digests = StateDigests(state)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        digests.digests()
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        result = alternate(
            f"{name}: {size / 1e6:.1f} MB in {len(state)} tensors",
            lambda buffer=buffer: _seconds(
                lambda: blake3.blake3(buffer, max_threads=blake3.blake3.AUTO).digest()
            ),
            lambda digests=digests: _seconds(digests.digests),
            pairs=options.pairs,
        )
        rows.append(result)
        speed = size / sorted(result.other)[len(result.other) // 2] / 1e9
        share = 1 / sorted(result.ratios)[len(result.ratios) // 2]
        print(
            f"{name}: {speed:.2f} GB/s, {share:.2f} of the library's speed; naming the tensors "
            f"{walk * 1e3:.1f} ms, checking that nothing changed {look * 1e3:.1f} ms; "
            f"peak memory grew by {grown:.1f} MB"
        )
    print("base: one buffer of the same size; with: the state, tensor by tensor")
    print_table(rows)


def _models() -> list[tuple[str, keras.Model]]:
    layers = keras.layers
    mlp = keras.Sequential(
        [keras.Input((128,)), layers.Dense(512), layers.Dense(420), layers.Dense(64), layers.Dense(10)]
    )
    resnet = keras.applications.ResNet50(weights=None, input_shape=(32, 32, 3), classes=10)
    return [("MLP of 300 k", mlp), ("ResNet50", resnet)]


def _seconds(function: object) -> float:
    began = time.perf_counter()
    function()  # type: ignore[operator]
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
