"""Measure the speed of sketching on one core, by dtype and size, next to reading and digesting.

    python benchmarks/sketch_speed.py [--runs 9]

Bar: 25 M float32 weights in at most 0.1 s on one core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

import blake3
import ml_dtypes
import numpy as np

from keras_repro.storage.linear_sketch import sketch_rows

_SIZES = (64, 1_000, 30_000, 1_000_000, 25_000_000)
_DTYPES = ("float32", "bfloat16", "float16", "float64", "int32", "int64")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    rng = np.random.default_rng(0)
    values = rng.normal(size=max(_SIZES)).astype("float32")
    values *= 1000
    print(f"{'dtype':<10}{'elements':>12}{'sketch ms':>12}{'slowest':>10}{'BLAKE3 ms':>12}{'read ms':>10}")
    for dtype in _DTYPES:
        kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
        array = values.astype(kind)
        for size in _SIZES if dtype == "float32" else _SIZES[-1:]:
            part = array[:size]
            raw = part.view("u1")
            sketch = _times(lambda part=part, dtype=dtype: sketch_rows(part, dtype), options.runs)
            digest = _times(lambda raw=raw: blake3.blake3(raw).digest(), options.runs)
            read = _times(lambda raw=raw: np.bitwise_xor.reduce(raw.view("u8")), options.runs)
            print(
                f"{dtype:<10}{size:>12,}{statistics.median(sketch) * 1e3:>12.3f}{max(sketch) * 1e3:>10.3f}"
                f"{statistics.median(digest) * 1e3:>12.3f}{statistics.median(read) * 1e3:>10.3f}"
            )


def _times(function: Callable[[], object], runs: int) -> list[float]:
    function()  # creates the tables of signs, which are cached
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        function()
        times.append(time.perf_counter() - began)
    return times


if __name__ == "__main__":
    main()
