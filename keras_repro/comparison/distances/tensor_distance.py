"""How far apart a tensor is from another run's, exactly: from both values.

>>> import numpy as np
>>> a = np.array([1.0, 1e-30, 2.0], "float32")
>>> b = np.array([1.0, 3e-30, 2.0], "float32")
>>> found = exact_distance("layers/0/kernel", a, b)
>>> found.elements, found.index, found.ulps > 10_000_000, found.scaled < 1e-20
(1, (1,), True, True)

Near zero a difference of no weight is millions of representable values (ULPs) wide: so it is also told in
ULPs of the tensor's own scale, which are those of its largest element.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keras_repro.comparison.distances.distance import distance, is_counted

_BLOCK = 1 << 20

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
    """How far apart a tensor is.

    Attributes:
        tensor: its structural name.
        dtype: as TensorFlow names it.
        elements: how many elements differ in their bits.
        of: how many there are.
        largest: the largest absolute difference that is finite; None where there is none.
        index: where the largest is, or the first difference that is not finite; None where nothing differs.
        ulps: the largest number of representable values from one element to the other; None for what is
            no float.
        scaled: the largest difference in ULPs of the largest element of both; None where it is not finite.
        apart: Euclidean norm of the difference.
        norms: those of both tensors.
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
        """The machine form: what is not finite is None."""
        found = asdict(self) | {"norms": list(self.norms)}
        found["index"] = None if self.index is None else list(self.index)
        found["norms"] = [n if math.isfinite(n) else None for n in self.norms]
        return found | {"apart": self.apart if math.isfinite(self.apart) else None}


def significand(dtype: str) -> int | None:
    """Bits of a float's significand, the hidden one too; None for what is no float that is known."""
    return _SIGNIFICAND.get(dtype)


def exact_distance(tensor: str, a: np.ndarray, b: np.ndarray) -> ExactDistance:
    """How far apart two values of a tensor are.

    Args:
        tensor: its name.
        a: the value in the first run.
        b: that in the other, of the same dtype and shape.
    """
    left, right = a.reshape(-1), b.reshape(-1)
    squares, scale, elements, ulps = np.zeros(3), 0.0, 0, None
    place, size = None, -1.0  # of the largest difference; infinite where it is not finite
    largest = None
    for start in range(0, left.size, _BLOCK):
        x, y = left[start : start + _BLOCK], right[start : start + _BLOCK]
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
        unlike = ~_same_bits(x, y)
        finite = gaps[unlike & np.isfinite(gaps)]
        if finite.size:
            largest = max(largest or 0.0, float(finite.max()))
        order = np.where(unlike, np.where(np.isfinite(gaps), gaps, np.inf), -1.0)
        here = int(np.argmax(order))
        if order[here] > size:
            place, size = start + here, float(order[here])
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


def _same_bits(x: np.ndarray, y: np.ndarray) -> Any:
    if not is_counted(x.dtype):
        return x == y
    bits = f"u{x.dtype.itemsize}"
    return x.view(bits) == y.view(bits)
