"""Sketches: the precision of their distances, their dtypes, and their golden values."""

from __future__ import annotations

from collections.abc import Callable

import ml_dtypes
import numpy as np
import pytest

from keras_repro.storage.linear_sketch import is_integer, parts_of, sketch_rows, sketched_distance

SHAPE = (150, 512)


def estimated(a: np.ndarray, b: np.ndarray, dtype: str | None = None) -> float:
    """The estimated distance over the true one."""
    rows = [sketch_rows(x, dtype or a.dtype.name) for x in (a, b)]
    true = np.linalg.norm((a.astype("f8") - b.astype("f8")).ravel())
    return float(sketched_distance(rows[0], rows[1], a.size) / true)


def weights(seed: int, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=shape) * 0.05).astype("float32")


# Golden: the signs and the order of the sums are part of the format.


def test_sketch_has_golden_values() -> None:
    values = (np.arange(100_003) % 257 - 128).astype("f4") / np.float32(64)
    row = sketch_rows(values, "float32")[0]
    assert row[1:5].tolist() == [-212.515625, 305.203125, 349.265625, 313.171875]
    assert (row[31], row[1:].sum()) == (-570.984375, -1165.578125)
    assert np.isclose(row[0], 366.6519055903663, rtol=1e-12)
    row = sketch_rows(values[:1000], "float32")[0]
    assert row[1:5].tolist() == [-28.1875, -43.8125, -7.59375, 9.15625]
    rows = sketch_rows(np.arange(50) * 2**40 + 7, "int64")
    assert rows[:, 1:4].tolist() == [
        [454098302271488.0, -56075093016576.0, -40681930227712.0],
        [84.0, 14.0, 0.0],
    ]


# Precision of the estimates.


def dense(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return a + rng.normal(size=a.shape) * 1e-4


def outer_product(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return a + 1e-3 * rng.normal(size=(a.shape[0], 1)) * rng.normal(size=(1, a.shape[1]))


def one_row(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    b = a.copy()
    b[rng.integers(len(b))] += 0.5
    return b


def one_column(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    b = a.copy()
    b[:, rng.integers(b.shape[1])] += rng.normal(size=len(b))
    return b


def a_block(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    b = a.copy()
    r, c = rng.integers(80), rng.integers(400)
    b[r : r + 64, c : c + 64] *= 1.5
    return b


def three_elements(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    b = a.copy()
    b.reshape(-1)[rng.choice(b.size, 3, replace=False)] += 0.5
    return b


def another_seed(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return weights(int(rng.integers(1, 1 << 30)))


CHANGES = [dense, outer_product, one_row, one_column, a_block, three_elements, another_seed]


@pytest.mark.parametrize(
    ("change", "shape"),
    # With 1,021 columns, all elements of a column would fall into the same sum without the rotation.
    [*((change, SHAPE) for change in CHANGES), (one_column, (32, 1021)), (one_column, (40, 984))],
)
def test_estimates_are_within_30_percent(
    change: Callable[[np.ndarray, np.random.Generator], np.ndarray], shape: tuple[int, ...]
) -> None:
    rng = np.random.default_rng(7)
    a = weights(0, shape)
    ratios = np.array([estimated(a, change(a, rng).astype("f4")) for _ in range(100)])
    # If an estimate is right 98 times in 100, more than 6 are wrong in 2 of 1,000 such tests.
    assert np.count_nonzero(np.abs(ratios - 1) > 0.3) <= 6
    assert abs(ratios.mean() - 1) < 0.06


DTYPES = {
    "float32": "float32",
    "float16": "float16",
    "bfloat16": ml_dtypes.bfloat16,
    "float64": "float64",
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 31, 32, 1000, 1021, 1022, 40_000, 300_000])
def test_change_of_one_element_by_one_ulp_is_exact(dtype: str, size: int) -> None:
    rng = np.random.default_rng(size)
    a = np.asarray(rng.uniform(0.01, 0.1, size) * rng.choice([-1, 1], size)).astype(DTYPES[dtype])
    b = a.copy()
    place = int(rng.integers(size))
    bits = b.view(f"u{b.itemsize}")
    bits[place] += 1
    assert np.isclose(estimated(a, b, dtype), 1.0, rtol=1e-3)
    assert (a.astype("f8") != b.astype("f8")).sum() == 1


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        ("int8", -128, 128), ("uint8", 0, 256), ("int32", -(2**31), 2**31), ("uint32", 0, 2**32),
        ("int64", -(2**62), 2**62), ("uint64", 0, 2**63), ("bool", 0, 2),
    ],
)  # fmt: skip
def test_distances_of_whole_numbers_are_estimated(dtype: str, low: int, high: int) -> None:
    rng = np.random.default_rng(3)
    a = rng.integers(low, high, 50_000, dtype="int64" if low < 0 or high < 2**33 else "uint64").astype(dtype)
    b = a.copy()
    b[777] = not b[777] if dtype == "bool" else b[777] + 1 if b[777] < high - 1 else b[777] - 1
    rows = [sketch_rows(x, dtype) for x in (a, b)]
    assert sketched_distance(rows[0], rows[1], a.size) == 1.0
    assert np.isclose(rows[0][0, 0], np.linalg.norm(a.astype("f8")), rtol=1e-9)
    # Not only near 1: other values, in all elements.
    assert abs(estimated(a, rng.permutation(a)) - 1) < 0.5
    assert is_integer(dtype)


@pytest.mark.parametrize(
    "dtype", ["complex64", "complex128", "float8_e4m3fn", "float8_e5m2", "int4", "uint4"]
)
def test_distances_of_further_dtypes_are_estimated(dtype: str) -> None:
    kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
    a = (np.arange(5000) % 7).astype(kind)
    b = (np.arange(5000) % 5).astype(kind)
    rows = [sketch_rows(x, dtype) for x in (a, b)]
    true = np.linalg.norm(a.astype("c16") - b.astype("c16"))
    assert abs(sketched_distance(rows[0], rows[1], a.size) / true - 1) < 0.3
    assert np.isclose(rows[0][0, 0], np.linalg.norm(a.astype("c16")))


def test_strings_have_no_sketch() -> None:
    assert (parts_of("string"), parts_of("variant"), parts_of("float32"), parts_of("int64")) == (0, 0, 1, 2)


# Properties of sketches.


def test_up_to_31_elements_are_kept_as_they_are() -> None:
    a = weights(1, (31,))
    row = sketch_rows(a, "float32")[0]
    assert row[1:].tolist() == a.tolist()
    assert sketch_rows(np.array([1 << 60, -1]), "int64").sum(axis=0)[1:4].tolist() == [2.0**60, -1.0, 0.0]
    assert not sketch_rows(np.zeros((0, 4), "f4"), "float32").any()


def test_sketches_are_linear() -> None:
    a, b = weights(1).astype("f8"), weights(2).astype("f8")
    sums = [sketch_rows(x, "float64")[:, 1:].sum(axis=0) for x in (a, b, 3 * a - b)]
    assert np.allclose(3 * sums[0] - sums[1], sums[2], atol=1e-10)


def test_buffer_and_array_have_the_same_sketch() -> None:
    a = weights(1)
    assert np.array_equal(sketch_rows(memoryview(a), "float32"), sketch_rows(a, "float32"))
    assert np.array_equal(sketch_rows(a.tobytes(), "float32"), sketch_rows(a, "float32"))
    strided = np.ascontiguousarray(a.T).T
    assert np.array_equal(sketch_rows(strided, "float32"), sketch_rows(a, "float32"))


def test_nonfinite_elements_leave_only_the_norm() -> None:
    for odd in (np.nan, np.inf, -np.inf):
        for size in (5, 500, 50_000):
            a = weights(1, (size,))
            b = a.copy()
            b[size // 2] = odd
            rows = sketch_rows(b, "float32")
            assert not np.isfinite(rows[0, 0])
            assert not rows[0, 1:].any()
            assert np.isnan(sketched_distance(sketch_rows(a, "float32"), rows, size))


def test_distances_of_extreme_numbers_are_estimated() -> None:
    for scale in (1e300, 1e-300):
        a = np.linspace(1, 2, 50_000) * scale
        assert np.isclose(sketch_rows(a, "float64")[0, 0], np.linalg.norm(a / scale) * scale)
        assert abs(sketched_distance(*(sketch_rows(x, "float64") for x in (a, 2 * a)), a.size) /
                   (np.linalg.norm(a / scale) * scale) - 1) < 0.3  # fmt: skip


def test_many_pairs_are_estimated_at_once() -> None:
    tensors = [weights(i, (2000,)) for i in range(6)]
    rows = np.stack([sketch_rows(t, "float32") for t in tensors])
    at_once = sketched_distance(rows[:3], rows[3:], np.full(3, 2000))
    one_by_one = [sketched_distance(rows[i], rows[i + 3], 2000) for i in range(3)]
    assert at_once.tolist() == one_by_one
