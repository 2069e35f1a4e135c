"""Digests of the batches of training steps: of the bytes, of each sample, and of the samples in any order."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any

import numpy as np
import tensorflow as tf
import xxhash

from keras_repro.storage.digest import tensor_frame
from keras_repro.training.data.description import part_name
from keras_repro.training.state.buffers import bytes_of

_MOST_ROWS = 4096
_NARROW = 1 << 14  # bytes of a row; below, concatenating its parts is cheaper than hashing each


def batch_digests(batch: Any) -> dict[str, str]:
    """Return digests of a batch's parts by their position, such as `"0"` (inputs) and `"1"` (labels).

    A part of a structure is named by its keys: `"0['age']"`.
    """
    names = _names(batch)
    return {names[i]: _digest(part) for i, part in _parts(batch)}


def row_digests(batch: Any) -> list[str]:
    """Return a digest of each sample over all parts of a batch; empty if the parts have no common samples."""
    parts = [np.asarray(part) for _, part in _parts(batch)]
    counts = {len(p) if p.ndim else -1 for p in parts}
    if len(counts) != 1 or counts & {-1, 0}:
        return []
    rows = []
    for index in range(min(counts.pop(), _MOST_ROWS)):
        hasher = xxhash.xxh3_64()
        for part in parts:
            row = part[index]
            hasher.update(repr(row).encode() if part.dtype == object else np.ascontiguousarray(row).tobytes())
        rows.append(hasher.hexdigest())
    return rows


def joint_digests(batches: Sequence[Sequence[Any]], *, samples: bool = True) -> dict[str, str]:
    """Return the digests of the batches of a step for its record (docs/ledger.md).

    Args:
        batches: the parts of each batch, as eager tensors.
        samples: whether the parts contain samples, which components of sparse and ragged tensors do not.

    Returns:
        `"order"` is a hash of the bytes in order, `"rows"` the sum of the samples' hashes, which does not
        depend on their order; 32 hexadecimal digits each. `"rows"` is missing if the parts have no common
        samples.
    """
    whole, total = xxhash.xxh3_128(), 0
    for parts in batches:
        described = tuple((part.dtype.name, tuple(part.shape.as_list())) for part in parts)
        views = []
        for frame, part in zip(_frames(described), parts, strict=True):
            view = memoryview(bytes_of(part))
            views.append(view.cast("B") if view.nbytes else memoryview(b""))
            whole.update(frame)
            whole.update(views[-1])
        counts = {shape[0] if shape else 0 for _, shape in described}
        if samples and len(counts) == 1 and counts != {0}:
            total += _sum_of_rows(parts, views, counts.pop(), _seed(described))
        else:
            samples = False
    return {"order": whole.hexdigest()} | ({"rows": f"{total % (1 << 128):032x}"} if samples else {})


_Described = tuple[tuple[str, tuple[int, ...]], ...]


@functools.lru_cache(maxsize=64)
def _frames(described: _Described) -> list[bytes]:
    return [tensor_frame(str(i), dtype, shape) for i, (dtype, shape) in enumerate(described)]


@functools.lru_cache(maxsize=64)
def _seed(described: _Described) -> int:
    text = "".join(f"{dtype} {list(shape[1:])};" for dtype, shape in described)
    return int(xxhash.xxh3_64_intdigest(text.encode()))


def _sum_of_rows(parts: Sequence[Any], views: Sequence[memoryview], count: int, seed: int) -> int:
    """Return the sum of the hashes of a batch's samples, each over all parts."""
    if any(part.dtype == tf.string for part in parts):
        return _sum_of_texts(parts, count, seed)
    widths = [len(view) // count for view in views]
    if sum(widths) <= _NARROW:
        # One hash per row instead of one per row and part.
        flat = [np.frombuffer(v, np.uint8).reshape(count, -1) for v in views if len(v)]
        if not flat:
            return 0
        joined = flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1)
        rows = joined.view(f"V{joined.shape[1]}").ravel().tolist()
        return sum(map(xxhash.xxh3_128_intdigest, rows, repeat(seed)))
    total = 0
    for index in range(count):
        hasher = xxhash.xxh3_128(seed=seed)
        for view, width in zip(views, widths, strict=True):
            hasher.update(view[index * width : (index + 1) * width])
        total += hasher.intdigest()
    return total


def _sum_of_texts(parts: Sequence[Any], count: int, seed: int) -> int:
    total = 0
    for index in range(count):
        hasher = xxhash.xxh3_128(seed=seed)
        for part in parts:
            hasher.update(bytes_of(part[index]))
        total += hasher.intdigest()
    return total


def _parts(batch: Any) -> Iterator[tuple[int, Any]]:
    """Yield the tensors of a batch with their positions; also of NumPy arrays and of optionals."""
    unpacked = tf.nest.map_structure(_without_optional, batch)
    for index, part in enumerate(tf.nest.flatten(unpacked, expand_composites=True)):
        if tf.is_tensor(part) or isinstance(part, np.ndarray):
            yield index, tf.convert_to_tensor(part)


def _names(batch: Any) -> list[str]:
    """Return the names of a batch's parts, in the order in which TensorFlow flattens it."""
    structure = batch if isinstance(batch, list | tuple) else (batch,)
    names = [part_name(keys) for keys in _keys(structure)]
    count = len(tf.nest.flatten(batch, expand_composites=True))
    is_known = len(set(names)) == len(names) == count
    return names if is_known else [str(i) for i in range(count)]


def _keys(structure: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(structure, dict):
        for key in sorted(structure):
            yield from _keys(structure[key], (*keys, key))
    elif isinstance(structure, list | tuple):
        for index, item in enumerate(structure):
            yield from _keys(item, (*keys, index))
    else:
        yield keys


def _without_optional(part: Any) -> Any:
    if isinstance(part, tf.experimental.Optional):
        return part.get_value() if part.has_value() else None
    return part


def _digest(part: Any) -> str:
    shape = ",".join(map(str, part.shape.as_list()))
    hasher = xxhash.xxh3_64(f"{part.dtype.name} {shape}".encode())
    hasher.update(bytes_of(part))
    return hasher.hexdigest()
