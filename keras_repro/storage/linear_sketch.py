"""Linear sketches: estimate the distance of two tensors from at most 32 numbers of each.

    >>> import numpy as np
    >>> a = np.linspace(-1, 1, 100_000, dtype="float32")
    >>> b = a.copy()
    >>> b[70_000] += np.float32(0.25)
    >>> rows = [sketch_rows(x, "float32") for x in (a, b)]
    >>> round(float(sketched_distance(rows[0], rows[1], a.size)), 6)
    0.25

A sketch is one norm and 31 sums of all elements, each with its own pseudorandom signs. It is linear: the
difference of two sketches is the sketch of the difference. Its mean square estimates the squared distance,
with a relative error of about sqrt(2/31), or 13% in the distance (Alon, Matias and Szegedy, 1996, for sums
with signs; Johnson and Lindenstrauss, 1984, and Achlioptas, 2003, for several of them as a projection). The
change of a single element is exact: each sum changes by it.

Signs for 31 sums of 25 M elements would take far longer than the sums. So the elements are first folded,
each with one sign, into 1,021 sums (a count sketch: Charikar, Chen and Farach-Colton, 2002), and these are
projected. The folding adds about 2/1021 to the 2/31. 1,021 is prime, and each row of 1,021 elements is
rotated by its own offset: so the elements of a row, a column or any other pattern are spread over all sums.
The signs are windows into one table, with another offset and another sign for each block of elements, so that
a repeated pattern does not meet the same signs.

All signs are a function of the position alone, by integer arithmetic. The sums are computed in float64 in a
fixed order, element by element: they are the same on every machine and with every NumPy.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from keras_repro.storage.digest import mix64

NUMBERS = 32
SUMS = NUMBERS - 1

_FOLDED = 1021
_BLOCK = 32 * _FOLDED  # elements: they fit into a core's cache
_WINDOWS = 1 << 17

# 64-bit numbers lose bits in float64 sums: their high and low parts are summed separately.
_TWO_PARTS = frozenset({"float64", "complex128", "int64", "uint64"})
_ONE_PART = frozenset(
    {"float32", "float16", "bfloat16", "complex64", "bool"}
    | {"int8", "uint8", "int16", "uint16", "int32", "uint32", "int4", "uint4"}
    | {"float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "float8_e4m3fnuz", "float8_e5m2fnuz"}
)


def parts_of(dtype: str) -> int:
    """Return the number of rows of a tensor's sketch: 1, or 2 for 64-bit numbers; 0 for strings.

    Args:
        dtype: as TensorFlow names it.
    """
    return 2 if dtype in _TWO_PARTS else int(dtype in _ONE_PART)


def is_integer(dtype: str) -> bool:
    """Return whether a dtype holds whole numbers."""
    return dtype == "bool" or dtype.lstrip("u").startswith("int")


def sketch_rows(values: Any, dtype: str) -> np.ndarray:
    """Return the sketch of a tensor.

    Args:
        values: its elements in C order, little-endian: an array of any shape, or a buffer of the bytes.
        dtype: as TensorFlow names it, such as `"float32"` or `"bfloat16"`.

    Returns:
        float64, of shape `(parts_of(dtype), 32)`. The first row holds the norm, then 31 numbers: the sums, or
        the elements themselves and zeros if there are at most 31. The second row holds the low parts of
        those. If an element is not finite, the norm is not finite and all else is 0.
    """
    flat = _flat(values, dtype)
    rows = np.zeros((parts_of(dtype), NUMBERS))
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        sums, squares = _sums(flat, dtype, len(rows))
        norm = float(np.sqrt(squares))
        if not 1e-140 < norm < 1e150:
            norm = _scaled_norm(flat, dtype)
        if np.isfinite(norm):
            for row, part in zip(rows, sums, strict=True):
                row[1 : 1 + min(SUMS, part.size)] = part if part.size <= SUMS else _projected(part)
    rows[:1, 0] = norm
    return rows


def sketched_distance(a: np.ndarray, b: np.ndarray, elements: Any) -> np.ndarray:
    """Estimate the distance of two tensors of the same dtype and shape, or of many such pairs at once.

    Args:
        a: rows of their sketches, of shape `(..., parts, 32)`.
        b: rows of the second sketches.
        elements: number of elements of each pair; the distance is exact up to 31.

    Returns:
        The Euclidean norm of the difference; NaN if one of them is not finite.
    """
    difference = a[..., 0, 1:] - b[..., 0, 1:]
    if a.shape[-2] > 1:
        difference += a[..., 1, 1:] - b[..., 1, 1:]
    with np.errstate(over="ignore"):
        norms = np.sqrt(np.einsum("...i,...i->...", difference, difference))
    if not ((norms > 1e-140) & (norms < 1e150)).all():
        # The squares overflow or underflow in float64 unless they are scaled.
        largest = np.abs(difference).max(axis=-1)
        scale = np.where(largest > 0, largest, 1.0)
        norms = scale * np.sqrt(np.square(difference / scale[..., None]).sum(axis=-1))
    distance = np.where(np.asarray(elements) > SUMS, norms / SUMS**0.5, norms)
    finite = np.isfinite(a[..., 0, 0]) & np.isfinite(b[..., 0, 0])
    return np.where(finite, distance, np.nan)


def _sums(flat: np.ndarray, dtype: str, parts: int) -> tuple[list[np.ndarray], float]:
    """Return the elements of each part, folded if there are more than 1,021, and the sum of their squares."""
    if flat.size <= _FOLDED:
        parts_in_f8 = [part.astype("f8") for part in _parts(flat, dtype)]
        return parts_in_f8, _dot(np.sum(parts_in_f8, axis=0))
    folded = [np.zeros(_FOLDED) for _ in range(parts)]
    work, squares = np.empty(_BLOCK), 0.0
    for number, start in enumerate(range(0, flat.size, _BLOCK)):
        first, sign, turns = _block_randomness(number)
        if parts == 2:
            squares += _dot(flat[start : start + _BLOCK].astype("f8"))
        for part, block in enumerate(_parts(flat[start : start + _BLOCK], dtype)):
            signed = work[: block.size]
            np.multiply(block, _signs()[first : first + block.size], out=signed)
            if parts == 1:
                squares += _dot(signed)
            row = _fold_rows(work, block.size, turns)
            _add_rotated(folded[part], row if sign else -row, turns[-1])
    return folded, squares


def _fold_rows(work: np.ndarray, size: int, turns: tuple[int, ...]) -> np.ndarray:
    """Return the sum of a block's rows of 1,021, each rotated by another offset; in place."""
    rows = -(-size // _FOLDED)
    work[size : rows * _FOLDED] = 0
    block = work[: rows * _FOLDED].reshape(rows, _FOLDED)
    for turn in turns:
        if rows == 1:
            break
        kept = (rows + 1) // 2
        _add_rotated(block[: rows - kept], block[kept:rows], turn)
        rows = kept
    return block[0]


def _add_rotated(into: np.ndarray, values: np.ndarray, turn: int) -> None:
    np.add(into[..., turn:], values[..., : _FOLDED - turn], out=into[..., turn:])
    np.add(into[..., :turn], values[..., _FOLDED - turn :], out=into[..., :turn])


@functools.cache
def _block_randomness(number: int) -> tuple[int, bool, tuple[int, ...]]:
    """Return the offset of a block's signs, its own sign, and the offsets by which its rows are rotated."""
    hashed = _mixed(np.array([number + 1, (1 << 40) + number], "u8")).tolist()
    turns = tuple(hashed[1] // 1000**i % 1000 + 11 for i in range(6))
    return hashed[0] % _WINDOWS, bool(hashed[0] >> 63), turns


def _dot(values: np.ndarray) -> float:
    return float(np.einsum("i,i->", values, values))


def _flat(values: Any, dtype: str) -> np.ndarray:
    """Return the elements as a flat array of a NumPy dtype; those of bfloat16 as their bits."""
    if dtype == "bfloat16":
        return _view(values, "<u2")
    if dtype.startswith(("float8", "int4", "uint4")):
        import ml_dtypes

        small = _view(values, "u1").view(getattr(ml_dtypes, dtype))
        return small.astype("f4" if dtype.startswith("float8") else "i1")
    if dtype.startswith("complex"):
        return _view(values, "<f4" if dtype == "complex64" else "<f8")
    return _view(values, "u1" if dtype == "bool" else np.dtype(dtype).newbyteorder("<"))


def _view(values: Any, dtype: Any) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values).reshape(-1).view(dtype)
    return np.frombuffer(values, dtype)


def _parts(block: np.ndarray, dtype: str) -> list[np.ndarray]:
    """Return a block as floats that can be summed precisely: one array, or a high and a low part."""
    if dtype == "bfloat16":
        return [(block.astype("u4") << np.uint32(16)).view("f4")]
    if dtype == "float16":
        return [block.astype("f4")]
    if dtype in ("float64", "complex128"):
        # 24 of 53 bits: the rounding of the high sums is far above the values of the low part.
        high = (block.view("u8") & np.uint64(0xFFFFFFFFE0000000)).view("f8")
        return [high, block - high]
    if dtype in ("int64", "uint64"):
        half = block.dtype.type(32)
        return [(block >> half) * float(1 << 32), (block & block.dtype.type(0xFFFFFFFF)).astype("f8")]
    return [block]


def _scaled_norm(flat: np.ndarray, dtype: str) -> float:
    """Return the norm if squares overflow or underflow in float64."""
    largest = squares = 0.0
    for scale in (0.0, 1.0):
        for start in range(0, flat.size, _BLOCK):
            parts = _parts(flat[start : start + _BLOCK], dtype)
            block = np.sum([part.astype("f8") for part in parts], axis=0)
            if scale:
                squares += _dot(block / largest)
            else:
                largest = float(np.maximum(largest, np.abs(block).max()))
        if not 0 < largest < np.inf:
            return largest  # NaN too
    return largest * float(np.sqrt(squares))


def _projected(sums: np.ndarray) -> np.ndarray:
    """Project the folded sums to 31 sums with signs. Not by BLAS, whose order differs between machines."""
    return np.einsum("j,jk->k", sums, _projection()[: sums.size])


@functools.cache
def _signs() -> np.ndarray:
    return _random_signs(0, _WINDOWS + _BLOCK).astype("f4")


@functools.cache
def _projection() -> np.ndarray:
    return _random_signs(1, SUMS * _FOLDED).astype("f8").reshape(_FOLDED, SUMS)


def _random_signs(stream: int, count: int) -> np.ndarray:
    """Return pseudorandom signs: the bits of a counter's hash."""
    counter = np.arange((count + 63) // 64, dtype="<u8") + np.uint64((stream + 1) << 32)
    bits = np.unpackbits(_mixed(counter).astype("<u8").view("u1"), bitorder="little")[:count]
    return bits.astype("i1") * 2 - 1


def _mixed(values: Any) -> Any:
    """Return the next number of SplitMix64 from each state."""
    with np.errstate(over="ignore"):
        return mix64(values * np.uint64(0x9E3779B97F4A7C15))
