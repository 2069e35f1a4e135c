"""How far apart two tensors are: in elements, in absolute terms, and in representable values between them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from keras_repro.comparison.distances.distance import distance

NAN, INF = float("nan"), float("inf")


def gap(a: Any, b: Any, dtype: str = "float32") -> tuple[int, float | None, int | None]:
    """Elements that differ, the largest difference, and the ULPs."""
    found = distance(np.array(a, dtype), np.array(b, dtype))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    return found["elements"], found["largest"], found["ulps"]


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
def test_one_representable_value_further(dtype: str, next_to_one: float, next_to_two: float) -> None:
    assert gap([1.0, 5.0], [next_to_one, 5.0], dtype) == (1, next_to_one - 1.0, 1)
    assert gap([next_to_one, 2.0], [1.0, next_to_two], dtype) == (2, next_to_two - 2.0, 1)


@pytest.mark.parametrize(
    ("dtype", "from_one_to_two"), [("float16", 1024), ("float32", 8388608), ("float64", 4503599627370496)]
)
def test_from_one_to_two_are_as_many_as_the_mantissa_has(dtype: str, from_one_to_two: int) -> None:
    assert gap([1.0], [2.0], dtype) == (1, 1.0, from_one_to_two)
    assert gap([-2.0], [-1.0], dtype) == (1, 1.0, from_one_to_two)


@pytest.mark.parametrize(
    ("dtype", "smallest"), [("float16", 2.0**-24), ("float32", 2.0**-149), ("float64", 2.0**-1074)]
)
def test_over_zero(dtype: str, smallest: float) -> None:
    assert gap([smallest], [-smallest], dtype) == (1, 2 * smallest, 2)
    assert gap([0.0], [smallest], dtype) == (1, smallest, 1)
    assert gap([-0.0], [smallest], dtype) == (1, smallest, 1)


@pytest.mark.parametrize(
    ("dtype", "ulps"), [("float16", 63488), ("float32", 4278190080), ("float64", 18437736874454810624)]
)
def test_from_one_infinity_to_the_other(dtype: str, ulps: int) -> None:
    assert gap([-INF], [INF], dtype) == (1, None, ulps)


def test_other_bits_of_the_same_value_are_a_difference() -> None:
    # The digests differ, so it must not be said that nothing does.
    assert gap([0.0, 1.0], [-0.0, 1.0]) == (1, 0.0, 0)
    other_nan = np.array([0x7FC00001], "<u4").view("<f4")
    assert distance(np.array([NAN], "<f4"), other_nan)["elements"] == 1


def test_what_is_no_number() -> None:
    assert gap([NAN, 2.0], [NAN, 2.0]) == (0, None, None)
    assert gap([NAN], [1.0]) == (1, None, None)
    assert gap([NAN, 1.0], [1.0, 1.5]) == (2, 0.5, 4194304)
    assert gap([INF, 1.0], [INF, 1.0]) == (0, None, None)
    # Infinity comes right after the largest number.
    assert gap([INF], [np.finfo("float32").max]) == (1, None, 1)
    assert gap([INF, 1.0], [0.0, 1.25]) == (2, 0.25, 2139095040)


def test_a_large_tensor_with_differences_far_apart() -> None:
    a = np.zeros((300, 1000), "float32")
    b = a.copy()
    b[7, 3], b[299, 999] = -2.0, 1e-3
    assert distance(a, b) == {"elements": 2, "of": 300_000, "largest": 2.0, "ulps": 0x40000000}


def test_strides_are_no_difference() -> None:
    a = np.arange(12, dtype="float32").reshape(3, 4)
    assert distance(a.T.copy(), a.T)["elements"] == 0
    assert distance(a[:, ::2], np.ascontiguousarray(a[:, ::2]) + np.float32(1))["elements"] == 6


def test_what_is_no_float_or_has_another_shape() -> None:
    assert gap([1, 2, 3], [1, 0, 9], "int64") == (2, None, None)
    assert gap([True, False], [True, True], "bool") == (1, None, None)
    assert gap([1 + 1j], [1 + 2j], "complex64") == (1, None, None)
    assert distance(np.array([b"a", b"b"], object), np.array([b"a", b"c"], object))["elements"] == 1
    other = {"elements": 3, "of": 3, "largest": None, "ulps": None}
    assert distance(np.zeros(3, "f4"), np.zeros((3, 1), "f4")) == other
    assert distance(np.zeros(3, "f4"), np.zeros(3, "f8")) == other
    assert distance(np.zeros(0, "f4"), np.zeros(0, "f4")) == {
        "elements": 0, "of": 0, "largest": None, "ulps": None,
    }  # fmt: skip
    assert gap(1.0, 2.0) == (1, 1.0, 8388608)
