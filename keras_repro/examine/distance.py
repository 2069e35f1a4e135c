"""How far apart two tensors are, element by element.

>>> import numpy as np
>>> a = np.array([1.0, 2.0], "float32")
>>> distance(a, np.nextafter(a, np.float32(3)))["ulps"]
1
"""

from __future__ import annotations

from typing import Any

import numpy as np


def distance(a: Any, b: Any) -> dict[str, Any]:
    """How far apart two tensors are.

    Returns:
        `elements` that differ of `of`, `largest` absolute difference, and for floats `ulps`, the largest
        number of representable values that lie between two elements.
    """
    if a.shape != b.shape or a.dtype != b.dtype:
        return {"elements": int(a.size), "of": int(a.size), "largest": None, "ulps": None}
    left, right = a.reshape(-1), b.reshape(-1)
    unlike = left != right
    if a.dtype.kind == "f":
        unlike &= ~(np.isnan(left) & np.isnan(right))
    count = int(np.count_nonzero(unlike))
    found: dict[str, Any] = {"elements": count, "of": int(a.size), "largest": None, "ulps": None}
    if count and a.dtype.kind == "f" and a.dtype.itemsize in (2, 4, 8):
        with np.errstate(all="ignore"):
            gap = np.abs(left[unlike].astype("f8") - right[unlike].astype("f8"))
        found["largest"] = float(np.nanmax(gap)) if np.isfinite(gap).any() else None
        ordered = [_ordered(v[unlike]) for v in (left, right)]
        found["ulps"] = max(abs(x - y) for x, y in zip(*(o.tolist() for o in ordered), strict=True))
    return found


def _ordered(values: Any) -> Any:
    """Floats as integers that count through the representable values in order."""
    bits = values.view(f"i{values.dtype.itemsize}").astype("i8")
    lowest = -(1 << (8 * values.dtype.itemsize - 1))
    return np.where(bits < 0, lowest - bits, bits)
