"""Distances of two values of a tensor: differing elements, absolute difference, ULPs, norms."""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from keras_repro.comparison.distances.tensor_distance import exact_distance, tap_distance
from keras_repro.storage.divergence_report import TapDistance

NAN, INF = float("nan"), float("inf")


def gap(a: Any, b: Any, dtype: str = "float32") -> tuple[int, float | None, int | None]:
    """Elements that differ, the largest difference, and the ULPs."""
    result = tap_distance(np.array(a, dtype), np.array(b, dtype))
    assert TapDistance.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False))) == result
    return result.elements, result.largest, result.ulps


@pytest.mark.parametrize(
    ("dtype", "next_to_one", "next_to_two"),
    [
        ("float16", 1.0009765625, 2.001953125),
        ("float32", 1.00000011920928955078125, 2.0000002384185791015625),
        (
            "float64",
            1.0000000000000002220446049250313080847263336181640625,
            2.000000000000000444089209850062616,
        ),
    ],
)
def test_next_representable_value_is_one_ulp_away(dtype: str, next_to_one: float, next_to_two: float) -> None:
    assert gap([1.0, 5.0], [next_to_one, 5.0], dtype) == (1, next_to_one - 1.0, 1)
    assert gap([next_to_one, 2.0], [1.0, next_to_two], dtype) == (2, next_to_two - 2.0, 1)


@pytest.mark.parametrize(
    ("dtype", "from_one_to_two"), [("float16", 1024), ("float32", 8388608), ("float64", 4503599627370496)]
)
def test_ulps_from_one_to_two_are_those_of_the_mantissa(dtype: str, from_one_to_two: int) -> None:
    assert gap([1.0], [2.0], dtype) == (1, 1.0, from_one_to_two)
    assert gap([-2.0], [-1.0], dtype) == (1, 1.0, from_one_to_two)


@pytest.mark.parametrize(
    ("dtype", "smallest"), [("float16", 2.0**-24), ("float32", 2.0**-149), ("float64", 2.0**-1074)]
)
def test_ulps_are_counted_across_zero(dtype: str, smallest: float) -> None:
    assert gap([smallest], [-smallest], dtype) == (1, 2 * smallest, 2)
    assert gap([0.0], [smallest], dtype) == (1, smallest, 1)
    assert gap([-0.0], [smallest], dtype) == (1, smallest, 1)


@pytest.mark.parametrize(
    ("dtype", "ulps"), [("float16", 63488), ("float32", 4278190080), ("float64", 18437736874454810624)]
)
def test_ulps_from_minus_infinity_to_infinity(dtype: str, ulps: int) -> None:
    assert gap([-INF], [INF], dtype) == (1, None, ulps)


def test_other_bits_of_the_same_value_count_as_a_difference() -> None:
    # The digests differ, so the distance must not be none.
    assert gap([0.0, 1.0], [-0.0, 1.0]) == (1, 0.0, 0)
    other_nan = np.array([0x7FC00001], "<u4").view("<f4")
    assert tap_distance(np.array([NAN], "<f4"), other_nan).elements == 1


def test_nan_and_infinity_are_compared() -> None:
    assert gap([NAN, 2.0], [NAN, 2.0]) == (0, None, None)
    assert gap([NAN], [1.0]) == (1, None, None)
    assert gap([NAN, 1.0], [1.0, 1.5]) == (2, 0.5, 4194304)
    assert gap([INF, 1.0], [INF, 1.0]) == (0, None, None)
    # Infinity comes right after the largest number.
    assert gap([INF], [np.finfo("float32").max]) == (1, None, 1)
    assert gap([INF, 1.0], [0.0, 1.25]) == (2, 0.25, 2139095040)


def test_differences_far_apart_in_a_large_tensor_are_counted() -> None:
    a = np.zeros((300, 1000), "float32")
    b = a.copy()
    b[7, 3], b[299, 999] = -2.0, 1e-3
    assert tap_distance(a, b) == TapDistance(elements=2, of=300_000, largest=2.0, ulps=0x40000000)


def test_strides_make_no_difference() -> None:
    a = np.arange(12, dtype="float32").reshape(3, 4)
    assert tap_distance(a.T.copy(), a.T).elements == 0
    assert tap_distance(a[:, ::2], np.ascontiguousarray(a[:, ::2]) + np.float32(1)).elements == 6


def test_other_dtypes_and_shapes_have_no_ulps() -> None:
    assert gap([1, 2, 3], [1, 0, 9], "int64") == (2, None, None)
    assert gap([True, False], [True, True], "bool") == (1, None, None)
    assert gap([1 + 1j], [1 + 2j], "complex64") == (1, None, None)
    assert tap_distance(np.array([b"a", b"b"], object), np.array([b"a", b"c"], object)).elements == 1
    other = TapDistance(elements=3, of=3, largest=None, ulps=None)
    assert tap_distance(np.zeros(3, "f4"), np.zeros((3, 1), "f4")) == other
    assert tap_distance(np.zeros(3, "f4"), np.zeros(3, "f8")) == other
    none = TapDistance(elements=0, of=0, largest=None, ulps=None)
    assert tap_distance(np.zeros(0, "f4"), np.zeros(0, "f4")) == none
    assert gap(1.0, 2.0) == (1, 1.0, 8388608)


def test_exact_distance_has_index_and_size_of_largest_difference() -> None:
    a = np.zeros((300, 5000), "f4")
    a[0, 0] = 4.0
    b = a.copy()
    b[7, 3], b[299, 4999] = 1e-30, -0.5
    result = exact_distance("w", a, b)
    assert (result.elements, result.of, result.largest, result.index) == (2, 1_500_000, 0.5, (299, 4999))
    assert result.scaled == 0.5 / 2**-21  # the ULP of numbers from 4 to 8
    assert result.ulps == 0x3F000000
    assert (result.apart, result.norms[0]) == (0.5, 4.0)


@pytest.mark.parametrize(
    ("dtype", "ulp"), [("float16", 2**-10), ("bfloat16", 2**-7), ("float32", 2**-23), ("float64", 2**-52)]
)
def test_exact_distance_resolves_one_ulp(dtype: str, ulp: float) -> None:
    a = np.array([1.0, 0.0, -1.5]).astype(getattr(ml_dtypes, dtype, dtype))
    b = a.copy()
    b.view(f"u{b.itemsize}")[2] += 1
    result = exact_distance("w", a, b)
    assert (result.dtype, result.ulps, result.scaled, result.largest) == (dtype, 1, 1.0, ulp)
    assert result.index == (2,)


def test_exact_distance_covers_values_that_are_not_finite_or_no_float() -> None:
    a = np.array([1.0, np.inf, 2.0], "f4")
    result = exact_distance("w", a, np.array([1.5, np.inf, np.nan], "f4"))
    assert (result.elements, result.index, result.largest, result.scaled) == (2, (2,), 0.5, None)
    assert json.dumps(result.to_dict(), allow_nan=False)
    result = exact_distance("w", np.array([0.0], "f4"), np.array([-0.0], "f4"))
    assert (result.elements, result.index, result.scaled, result.ulps) == (1, (0,), 0.0, 0)
    result = exact_distance("w", np.array([3, 4]), np.array([3, 9]))
    assert (result.elements, result.index, result.largest, result.scaled) == (1, (1,), 5.0, None)
    words = [np.array([b"a", w], object) for w in (b"b", b"c")]
    assert exact_distance("w", *words).elements == 1
    assert exact_distance("w", a, a).index is None
    tiny = np.array([0.0, 5e-324])
    assert exact_distance("w", tiny, -tiny).scaled == 2.0
