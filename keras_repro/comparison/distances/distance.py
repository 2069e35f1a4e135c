"""How far apart two tensors are, element by element.

>>> import numpy as np
>>> a = np.array([1.0, 2.0], "float32")
>>> distance(a, np.nextafter(a, np.float32(3)))["ulps"]
1
"""

from __future__ import annotations

from typing import Any

import numpy as np

_BLOCK = 1 << 16  # elements


def distance(a: Any, b: Any) -> dict[str, Any]:
    """How far apart two tensors are.

    Returns:
        `elements` that differ in their bits `of` how many, `largest` absolute difference that is finite, and
        for floats `ulps`, the largest number of representable values from one element to the other (0 from
        -0.0 to 0.0); None where there is no such number, as for NaN.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return {"elements": int(a.size), "of": int(a.size), "largest": None, "ulps": None}
    left, right = a.reshape(-1), b.reshape(-1)
    count, largest, ulps = 0, None, None
    for begin in range(0, a.size, _BLOCK):  # what is computed on the way needs several times the memory
        part = slice(begin, begin + _BLOCK)
        unlike, gap, steps = _of_block(left[part], right[part])
        count += unlike
        largest = gap if largest is None else max(largest, gap or 0.0)
        ulps = steps if ulps is None else max(ulps, steps or 0)
    return {"elements": count, "of": int(a.size), "largest": largest, "ulps": ulps}


def _of_block(left: Any, right: Any) -> tuple[int, float | None, int | None]:
    """How many elements differ, by how much at most, and by how many representable values."""
    is_float = is_counted(left.dtype)
    unlike = _bits(left) != _bits(right) if is_float else left != right
    count = int(np.count_nonzero(unlike))
    if not is_float or not count:
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


def is_counted(dtype: Any) -> bool:
    """Whether a dtype is a float whose bits count through its values: also bfloat16 and float8."""
    return (dtype.kind == "f" and dtype.itemsize in (2, 4, 8)) or dtype.name in (
        "bfloat16",
        "float8_e4m3fn",
        "float8_e5m2",
    )


def _bits(values: Any) -> Any:
    return values.view(f"i{values.dtype.itemsize}")


def _ordered(values: Any) -> Any:
    """Floats as integers that count through the representable values in order."""
    bits = _bits(values).astype("i8")
    lowest = -(1 << (8 * values.dtype.itemsize - 1))
    return np.where(bits < 0, lowest - bits, bits)
