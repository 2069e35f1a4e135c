"""Hash named arrays by their canonical bytes.

A tensor's digest commits to its name, dtype, shape and little-endian C-order bytes; a section's to its
tensors' digests.

    >>> import numpy as np
    >>> array_digest("kernel", np.arange(3, dtype="float32"))
    'f740bbc42242c7e348706793f21a6ead'
    >>> array_digest("bias", np.arange(3, dtype="float32"))
    '88cc68da4f5ba910798757966ed60b23'

The hash is BLAKE3 (O'Connor, Aumasson, Neves and Wilcox-O'Hearn, 2020).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

import blake3
import numpy as np

from keras_repro.utils.framing import encoded, framed

_SHOWN = 32  # hex digits of a digest in the ledger: 128 bits
_PARALLEL_BYTES = 1 << 20  # below this, starting other threads costs more than it saves


def content_digest(buffer: Any, *, parallel: bool = True) -> bytes:
    """Hash raw bytes.

    Args:
        buffer: a C-contiguous buffer of little-endian values; not copied.
        parallel: whether a large buffer may be hashed on all cores.

    Returns:
        32 bytes.
    """
    view = memoryview(buffer)
    if view.nbytes == 0:
        return blake3.blake3(b"").digest()
    if view.format != "B" or view.ndim != 1:
        view = view.cast("B")
    threads = blake3.blake3.AUTO if parallel and view.nbytes >= _PARALLEL_BYTES else 1
    return blake3.blake3(view, max_threads=threads).digest()


def tensor_digest(name: str, dtype: str, shape: Iterable[int], content: bytes) -> str:
    """Return the digest of a tensor: of its name, dtype, shape and content digest.

    Args:
        name: the tensor's structural name.
        dtype: its dtype as TensorFlow names it, such as `"float32"` or `"bfloat16"`.
        shape: its dimensions.
        content: the `content_digest` of its bytes.

    Returns:
        32 hexadecimal digits.
    """
    return framed_digest(tensor_frame(name, dtype, shape), content)


def tensor_frame(name: str, dtype: str, shape: Iterable[int]) -> bytes:
    """Return the part of a tensor's digest before its content; computed once for a tensor hashed often."""
    dimensions = tuple(shape)
    return b"".join(
        (
            framed(b"tensor"),
            framed(encoded(name)),
            framed(encoded(dtype)),
            struct.pack(f"<q{len(dimensions)}q", len(dimensions), *dimensions),
        )
    )


def framed_digest(frame: bytes, content: bytes) -> str:
    """Return the tensor digest of a `tensor_frame` and a content digest."""
    return blake3.blake3(frame + content).hexdigest()[:_SHOWN]


def array_digest(name: str, array: Any) -> str:
    """Return the digest of a named NumPy array, or of a value that `np.asarray` takes.

    Args:
        name: the tensor's structural name.
        array: any shape; any dtype with a fixed size, or strings.

    Returns:
        32 hexadecimal digits; the same as for a TensorFlow variable of this name and value.
    """
    values = np.asarray(array)
    if values.dtype.kind in "OSU":
        return tensor_digest(name, "string", values.shape, content_digest(string_bytes(values)))
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    flat = np.ascontiguousarray(little).reshape(-1)
    return tensor_digest(name, values.dtype.name, values.shape, content_digest(flat.view(np.uint8)))


def string_bytes(values: Any) -> bytes:
    """Return the canonical bytes of an array of strings or bytes: each after its length."""
    flat = np.asarray(values, dtype=object).reshape(-1)
    return b"".join(framed(v if isinstance(v, bytes) else encoded(str(v))) for v in flat)


def section_digest(tensors: Mapping[str, str]) -> str:
    """Return the digest of a section's tensors, independent of their order.

    Args:
        tensors: digests by tensor name.

    Returns:
        32 hexadecimal digits.
    """
    framed = "".join(f"{len(name)}:{name}={tensors[name]};" for name in sorted(tensors))
    return blake3.blake3(encoded(framed)).hexdigest()[:_SHOWN]


def rows_digest(arrays: Iterable[Any]) -> str:
    """Return a digest of the samples of some arrays, independent of their order.

    Two data sets with equal `rows_digest` and different digests hold the same samples in another order. The
    digest is a sum of mixed 64-bit row hashes: it tells a change from a reordering, but does not resist a
    search for collisions.

    Args:
        arrays: NumPy arrays of the same first dimension, such as inputs and labels.

    Returns:
        32 hexadecimal digits; empty if an array holds strings or objects, or has no rows.
    """
    rows: Any = None
    described = b""
    for position, array in enumerate(arrays):
        values = np.asarray(array)
        if values.dtype.kind in "OSU" or values.ndim == 0:
            return ""
        values = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
        described += framed(f"{values.dtype.name} {list(values.shape[1:])}".encode())
        raw = values.reshape(len(values), -1).view(np.uint8) if values.size else None
        hashed = _row_hashes(raw, position) if raw is not None else np.zeros(len(values), np.uint64)
        rows = hashed if rows is None else mix64(rows * np.uint64(0x9E3779B97F4A7C15) + hashed)
    if rows is None:
        return ""
    with np.errstate(over="ignore"):
        sums = [
            np.sum(rows, dtype=np.uint64),
            np.sum(mix64(rows ^ np.uint64(0xA5)), dtype=np.uint64),
        ]
    packed = struct.pack("<q", len(rows)) + b"".join(int(s).to_bytes(8, "little") for s in sums)
    return blake3.blake3(described + packed).hexdigest()[:_SHOWN]


_BLOCK_BYTES = 1 << 24


def _row_hashes(raw: np.ndarray, position: int) -> np.ndarray:
    count, width = raw.shape
    words = (width + 7) // 8
    seed = blake3.blake3(struct.pack("<qq", position, width)).digest(length=8 * words)
    factors = np.frombuffer(seed, dtype="<u8") | np.uint64(1)
    result = np.empty(count, np.uint64)
    step = max(1, _BLOCK_BYTES // max(1, words * 8))
    for start in range(0, count, step):
        part = raw[start : start + step]
        padded = np.zeros((len(part), words * 8), np.uint8)
        padded[:, :width] = part
        # Each word is mixed before the sum, so that its high bits affect the result.
        mixed = mix64(padded.view("<u8") * factors + factors)
        result[start : start + step] = mix64(np.sum(mixed, axis=1, dtype=np.uint64))
    return result


def mix64(values: Any) -> Any:
    """Apply the finalizer of SplitMix64 (Steele, Lea and Flood, 2014) to an array of uint64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
