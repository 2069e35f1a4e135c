"""How far apart two values of a tensor are, element by element.

>>> import numpy as np
>>> a = np.array([1.0, 1e-30, 2.0], "float32")
>>> b = np.array([1.0, 3e-30, 2.0], "float32")
>>> distance(a, b)["ulps"] > 10_000_000
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

# Elements: intermediate results need several times the memory.
_BLOCK = 1 << 16
_EXACT_BLOCK = 1 << 20

# Bits of the significand, with the one that is not stored.
_SIGNIFICAND = {
    "float16": 11,
    "bfloat16": 8,
    "float32": 24,
    "float64": 53,
    "float8_e4m3fn": 4,
    "float8_e5m2": 3,
}


def distance(a: Any, b: Any) -> dict[str, Any]:
    """Return how far apart two tensors are, as plain values.

    Returns:
        `elements`, the number of elements whose bits differ; `of`, the number of elements; `largest`, the
        largest finite absolute difference; for floats `ulps`, the largest number of representable values
        from one element to the other (0 from -0.0 to 0.0). None if there is no such number, as for NaN.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return {"elements": int(a.size), "of": int(a.size), "largest": None, "ulps": None}
    left, right = a.reshape(-1), b.reshape(-1)
    count, largest, ulps = 0, None, None
    for start in range(0, a.size, _BLOCK):
        block = slice(start, start + _BLOCK)
        differing, gap, steps = _block_distance(left[block], right[block])
        count += differing
        largest = gap if largest is None else max(largest, gap or 0.0)
        ulps = steps if ulps is None else max(ulps, steps or 0)
    return {"elements": count, "of": int(a.size), "largest": largest, "ulps": ulps}


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
    squares, scale, elements, ulps = np.zeros(3), 0.0, 0, None
    place, size = None, -1.0  # of the largest difference; a difference that is not finite counts as infinite
    largest = None
    for start in range(0, left.size, _EXACT_BLOCK):
        x, y = left[start : start + _EXACT_BLOCK], right[start : start + _EXACT_BLOCK]
        gap = distance(x, y)
        elements += gap["elements"]
        if gap["ulps"] is not None:
            ulps = max(ulps or 0, gap["ulps"])
        if x.dtype.kind == "O":
            continue
        wide = "c16" if x.dtype.kind == "c" else "f8"
        with np.errstate(all="ignore"):
            u, v = x.astype(wide), y.astype(wide)
            gaps = np.abs(u - v)
            squares += [np.square(w).sum() for w in (gaps, np.abs(u), np.abs(v))]
            sizes = np.maximum(np.abs(u), np.abs(v))
        scale = max(scale, float(sizes[np.isfinite(sizes)].max(initial=0)))
        if not gap["elements"]:
            continue
        unlike = _unlike(x, y)
        finite = gaps[unlike & np.isfinite(gaps)]
        if finite.size:
            largest = max(largest or 0.0, float(finite.max()))
        order = np.where(unlike, np.where(np.isfinite(gaps), gaps, np.inf), -1.0)
        position = int(np.argmax(order))
        if order[position] > size:
            place, size = start + position, float(order[position])
    return ExactDistance(
        tensor=tensor,
        dtype="string" if a.dtype.kind == "O" else a.dtype.name,
        elements=elements,
        of=int(left.size),
        largest=largest,
        index=None if place is None else tuple(map(int, np.unravel_index(place, a.shape))),
        ulps=ulps,
        scaled=_scaled(a.dtype, size, scale),
        apart=float(np.sqrt(squares[0])),
        norms=(float(np.sqrt(squares[1])), float(np.sqrt(squares[2]))),
    )


def _scaled(dtype: Any, size: float, scale: float) -> float | None:
    """A difference in ULPs of the largest element."""
    bits = significand(dtype.name)
    if bits is None or size == math.inf:
        return None
    return 0.0 if size <= 0 else size / math.ldexp(1.0, math.frexp(scale)[1] - bits)


def _block_distance(left: Any, right: Any) -> tuple[int, float | None, int | None]:
    """How many elements differ, by how much at most, and by how many representable values."""
    unlike = _unlike(left, right)
    count = int(np.count_nonzero(unlike))
    if not count or not _has_ulps(left.dtype):
        return count, None, None
    unlike &= ~(np.isnan(left) | np.isnan(right))
    left, right = left[unlike], right[unlike]
    with np.errstate(all="ignore"):
        gaps = np.abs(left.astype("f8") - right.astype("f8"))
    gaps = gaps[np.isfinite(gaps)]
    x, y = _ordered(left), _ordered(right)
    # Their difference may need all 64 bits, without a sign.
    steps = np.where(x > y, x - y, y - x).view("u8")
    return count, float(gaps.max()) if gaps.size else None, int(steps.max()) if steps.size else None


def _unlike(left: Any, right: Any) -> Any:
    """Which elements differ, floats by their bits."""
    return _bits(left) != _bits(right) if _has_ulps(left.dtype) else left != right


def _has_ulps(dtype: Any) -> bool:
    """Whether a dtype is a float whose bits enumerate its values in order: also bfloat16 and float8."""
    return (dtype.kind == "f" and dtype.itemsize in (2, 4, 8)) or dtype.name in (
        "bfloat16",
        "float8_e4m3fn",
        "float8_e5m2",
    )


def _bits(values: Any) -> Any:
    return values.view(f"i{values.dtype.itemsize}")


def _ordered(values: Any) -> Any:
    """Floats as integers that enumerate the representable values in order."""
    bits = _bits(values).astype("i8")
    lowest = -(1 << (8 * values.dtype.itemsize - 1))
    return np.where(bits < 0, lowest - bits, bits)
