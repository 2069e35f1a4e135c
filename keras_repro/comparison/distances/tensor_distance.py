"""How far apart two values of a tensor are, element by element.

>>> import numpy as np
>>> a = np.array([1.0, 1e-30, 2.0], "float32")
>>> b = np.array([1.0, 3e-30, 2.0], "float32")
>>> tap_distance(a, b).ulps > 10_000_000
True
>>> exact = exact_distance("layers/0/kernel", a, b)
>>> exact.elements, exact.index, exact.scaled < 1e-20
(1, (1,), True)

Near zero, a negligible difference is millions of representable values (ULPs) wide. So it is also given in
ULPs of the tensor's own scale, which are those of its largest element.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keras_repro.storage.divergence_report import TapDistance

_BLOCK = 1 << 20  # elements: intermediate results need several times the memory

# Bits of the significand, with the one that is not stored.
_SIGNIFICAND = {
    "float16": 11,
    "bfloat16": 8,
    "float32": 24,
    "float64": 53,
    "float8_e4m3fn": 4,
    "float8_e5m2": 3,
}


@dataclass(frozen=True, kw_only=True)
class ExactDistance:
    """How far apart two values of a tensor are.

    Attributes:
        tensor: the structural name.
        dtype: the dtype as TensorFlow names it.
        elements: the number of elements whose bits differ.
        of: the number of elements.
        largest: the largest finite absolute difference; None if there is none.
        index: the index of the largest difference, or of the first that is not finite; None if all are equal.
        ulps: the largest number of representable values from one element to the other; None if not a float.
        scaled: the largest difference in ULPs of the largest element of both; None if it is not finite.
        apart: the Euclidean norm of the difference.
        norms: the Euclidean norms of both values.
    """

    tensor: str
    dtype: str
    elements: int
    of: int
    largest: float | None
    index: tuple[int, ...] | None
    ulps: int | None
    scaled: float | None
    apart: float
    norms: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form; None in place of a number that is not finite."""
        return asdict(self) | {
            "index": None if self.index is None else list(self.index),
            "apart": self.apart if math.isfinite(self.apart) else None,
            "norms": [n if math.isfinite(n) else None for n in self.norms],
        }


def significand(dtype: str) -> int | None:
    """Return the bits of a float's significand, with the hidden one; None if it is no known float."""
    return _SIGNIFICAND.get(dtype)


def exact_distance(tensor: str, a: np.ndarray, b: np.ndarray) -> ExactDistance:
    """Return how far apart two values of a tensor are.

    Args:
        tensor: the tensor's name.
        a: its value in the first run.
        b: its value in the second run, of the same dtype and shape.
    """
    left, right = a.reshape(-1), b.reshape(-1)
    squares, scale, elements = np.zeros(3), 0.0, 0
    place, size = None, -1.0  # of the largest difference; a difference that is not finite counts as infinite
    largest: list[float] = []  # by block
    ulps: list[int] = []
    for start in range(0, left.size, _BLOCK):
        x, y = left[start : start + _BLOCK], right[start : start + _BLOCK]
        unlike = _bits(x) != _bits(y) if _has_ulps(x.dtype) else x != y
        differing = int(np.count_nonzero(unlike))
        elements += differing
        if x.dtype.kind in "OSU":
            continue
        wide = "c16" if x.dtype.kind == "c" else "f8"
        with np.errstate(all="ignore"):
            u, v = x.astype(wide), y.astype(wide)
            gaps = np.abs(u - v)
            squares += [np.square(w).sum() for w in (gaps, np.abs(u), np.abs(v))]
            sizes = np.maximum(np.abs(u), np.abs(v))
        scale = max(scale, float(sizes[np.isfinite(sizes)].max(initial=0)))
        if not differing:
            continue
        ulps += _most_ulps(x[unlike], y[unlike])
        finite = gaps[unlike & np.isfinite(gaps)]
        if finite.size:
            largest.append(float(finite.max()))
        order = np.where(unlike, np.where(np.isfinite(gaps), gaps, np.inf), -1.0)
        position = int(np.argmax(order))
        if order[position] > size:
            place, size = start + position, float(order[position])
    return ExactDistance(
        tensor=tensor,
        dtype="string" if a.dtype.kind in "OSU" else a.dtype.name,
        elements=elements,
        of=int(left.size),
        largest=max(largest, default=None),
        index=None if place is None else tuple(map(int, np.unravel_index(place, a.shape))),
        ulps=max(ulps, default=None),
        scaled=_scaled(a.dtype, size, scale),
        apart=float(np.sqrt(squares[0])),
        norms=(float(np.sqrt(squares[1])), float(np.sqrt(squares[2]))),
    )


def tap_distance(a: np.ndarray, b: np.ndarray) -> TapDistance:
    """Return how far apart two values of a tap are; with a largest difference only for floats."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return TapDistance(elements=int(a.size), of=int(a.size), largest=None, ulps=None)
    exact = exact_distance("", a, b)
    largest = exact.largest if _has_ulps(a.dtype) else None
    return TapDistance(elements=exact.elements, of=exact.of, largest=largest, ulps=exact.ulps)


def _scaled(dtype: Any, size: float, scale: float) -> float | None:
    """Return a difference in ULPs of the largest element."""
    bits = significand(dtype.name)
    if bits is None or size == math.inf:
        return None
    ulp = max(math.ldexp(1.0, math.frexp(scale)[1] - bits), math.ulp(0.0))  # ldexp gives 0 if all are tiny
    return 0.0 if size <= 0 else size / ulp


def _most_ulps(left: np.ndarray, right: np.ndarray) -> list[int]:
    """Return the largest number of representable values between two elements, if there is one."""
    if not _has_ulps(left.dtype):
        return []
    numbers = ~(np.isnan(left) | np.isnan(right))
    x, y = _ordered(left[numbers]), _ordered(right[numbers])
    # Their difference may need all 64 bits, without a sign.
    steps = np.where(x > y, x - y, y - x).view("u8")
    return [int(steps.max())] if steps.size else []


def _has_ulps(dtype: Any) -> bool:
    """Return whether the bits of a dtype enumerate its values in order: floats, also bfloat16 and float8."""
    return (dtype.kind == "f" and dtype.itemsize in (2, 4, 8)) or dtype.name in (
        "bfloat16",
        "float8_e4m3fn",
        "float8_e5m2",
    )


def _bits(values: Any) -> Any:
    return values.view(f"i{values.dtype.itemsize}")


def _ordered(values: Any) -> Any:
    """Return floats as integers that enumerate the representable values in order."""
    bits = _bits(values).astype("i8")
    lowest = -(1 << (8 * values.dtype.itemsize - 1))
    return np.where(bits < 0, lowest - bits, bits)
