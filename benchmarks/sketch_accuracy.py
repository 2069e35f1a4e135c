"""Measure how well sketches estimate distances, of trained pairs and of tensors up to 25 M elements.

    python benchmarks/sketch_accuracy.py [--pairs 40] [--large 12]

Bar: within 30% of the true value in 95 of 100 cases, from one ULP to unrelated weights.

The first table is about trained pairs (an MLP and a CNN on the digits), each tensor at each epoch: the same
training with one element of one weight changed by one ULP, with a slightly different learning rate, and with
another seed. An element always has the same sign. So each pair is estimated many times, rolled by a number of
elements, as if it were the middle of a longer tensor. The second table is about single random tensors.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import ml_dtypes
import numpy as np
from sklearn.datasets import load_digits

from keras_repro.storage.linear_sketch import SUMS, sketch_rows, sketched_distance

_CHANGES = ("one ULP of one", "learning rate", "another seed")
_EPOCHS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40, help="estimates per tensor")
    parser.add_argument("--large", type=int, default=12, help="pairs per kind of large tensor")
    options = parser.parse_args()
    began = time.perf_counter()
    rng = np.random.default_rng(0)
    _header("trained pairs")
    for kind in ("mlp", "cnn"):
        base = _train(kind, "none")
        for change in _CHANGES:
            other = _train(kind, change)
            for dtype in ("float32", "bfloat16", "float16", "float64"):
                ratios = []
                for epoch, (first, second) in enumerate(zip(base, other, strict=True)):
                    if epoch == 0 and change == "learning rate":
                        continue
                    for a, b in zip(first, second, strict=True):
                        ratios += _ratios(_as(a, dtype), _as(b, dtype), dtype, options.pairs, rng)
                _row(f"{kind}: {change}", dtype, ratios)
    print()
    _header("single tensors")
    for size in (1, 31, 32, 1000, 30_000, 1_000_000, 25_000_000):
        count = options.large if size >= 1_000_000 else 200
        dtypes = ("float32", "bfloat16", "float16", "float64", "int32")
        for dtype in dtypes if size < 25_000_000 else ("float32", "bfloat16", "int32"):
            ratios_by_change = {}
            for name, change in _LARGE.items():
                pairs = (_pair(size, change, dtype, rng) for _ in range(count))
                ratios_by_change[name] = [_ratio(a, b, dtype) for a, b in pairs]
            _row(f"{size:,}: {_ONE}", dtype, ratios_by_change.pop(_ONE))
            _row(
                f"{size:,}: {', '.join(ratios_by_change)}",
                dtype,
                [r for ratios in ratios_by_change.values() for r in ratios],
            )
    print(f"{time.perf_counter() - began:.0f} s")


def _header(title: str) -> None:
    print(f"{title:<36}{'dtype':<10}{'estimates':>10}{'within 30%':>12}{'mean':>8}{'std':>8}")


def _row(name: str, dtype: str, ratios: list[float | None]) -> None:
    known = np.array([r for r in ratios if r is not None])
    if not known.size:
        return
    share = np.mean(np.abs(known - 1) <= 0.3)
    mark = "" if share >= 0.95 or known.size < 100 else "  MISSED"
    numbers = f"{share * 100:>11.1f}%{known.mean():>8.3f}{known.std():>8.3f}"
    print(f"{name:<36}{dtype:<10}{len(known):>10}{numbers}{mark}", flush=True)


def _ratios(
    a: np.ndarray, b: np.ndarray, dtype: str, count: int, rng: np.random.Generator
) -> list[float | None]:
    """Return estimates over the true distance, at several rotations; empty if the sketch is exact."""
    if a.size <= SUMS or np.array_equal(a, b):
        return []
    turns = rng.integers(0, a.size, count)
    return [_ratio(np.roll(a.reshape(-1), t), np.roll(b.reshape(-1), t), dtype) for t in turns]


def _ratio(a: np.ndarray, b: np.ndarray, dtype: str) -> float | None:
    """Return the estimate over the true distance; None if the tensors are equal."""
    true = 0.0
    for start in range(0, a.size, 1 << 20):
        gap = a[start : start + (1 << 20)].astype("f8") - b[start : start + (1 << 20)].astype("f8")
        true += float(np.square(gap).sum())
    if true == 0:
        return None
    rows = [sketch_rows(x, dtype) for x in (a, b)]
    return float(sketched_distance(rows[0], rows[1], a.size)) / true**0.5


def _as(array: np.ndarray, dtype: str) -> np.ndarray:
    return array.astype(getattr(ml_dtypes, dtype, dtype))


def _one_ulp(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    b = a.copy()
    b.view(f"u{b.itemsize}")[rng.integers(b.size)] ^= 1
    return b


def _rounding(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    b = a.copy()
    bits = b.view(f"u{b.itemsize}")
    bits ^= (rng.integers(0, 4, b.size, dtype="u1") == 0).astype(bits.dtype)
    return b


def _near(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if a.dtype.kind == "i":
        return a + rng.integers(-2, 3, a.size, dtype=a.dtype)
    return (a.astype("f4") * (1 + 0.05 * rng.standard_normal(a.size, dtype="f4"))).astype(a.dtype)


def _unrelated(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _values(a.size, a.dtype, rng)


_ONE = "one ULP of one"
_LARGE = {_ONE: _one_ulp, "ULPs": _rounding, "5%": _near, "unrelated": _unrelated}


def _pair(size: int, change: object, dtype: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    a = _values(size, np.dtype(getattr(ml_dtypes, dtype, dtype)), rng)
    return a, change(a, rng)  # type: ignore[operator]


def _values(size: int, dtype: np.dtype, rng: np.random.Generator) -> np.ndarray:
    values = rng.standard_normal(size, dtype="f4")
    return (values * (1e6 if dtype.kind == "i" else 0.02)).astype(dtype)


def _train(kind: str, change: str) -> list[list[np.ndarray]]:
    """Return the weights at the start and after each epoch."""
    keras.utils.set_random_seed(2 if change == "another seed" else 1)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    layers = keras.layers
    if kind == "mlp":
        stack = [keras.Input((64,)), layers.Dense(128, "relu"), layers.Dense(64, "relu"), layers.Dense(10)]
    else:
        x = x.reshape(-1, 8, 8, 1)
        stack = [
            *(keras.Input((8, 8, 1)), layers.Conv2D(16, 3, activation="relu"), layers.BatchNormalization()),
            *(layers.Conv2D(32, 3, activation="relu"), layers.Flatten(), layers.Dense(10)),
        ]
    model = keras.Sequential(stack)
    rate = 1.0001e-3 if change == "learning rate" else 1e-3
    model.compile(keras.optimizers.Adam(rate), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    if change == "one ULP of one":
        kernel = model.trainable_variables[0]
        values = np.array(keras.ops.convert_to_numpy(kernel))
        values.reshape(-1)[0] = np.nextafter(values.reshape(-1)[0], np.float32(1))
        kernel.assign(values)
    states = [[np.array(w) for w in model.get_weights()]]
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: states.append([np.array(w) for w in model.get_weights()])
    )
    model.fit(x, y, batch_size=64, epochs=_EPOCHS, shuffle=False, verbose=0, callbacks=[keep])
    return states


if __name__ == "__main__":
    main()
