"""One batch on its way into a training step: its digests, and a stand-in iterator that gives it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import xxhash

from keras_repro.training.reading import bytes_of

_MOST_ROWS = 4096


def batch_digests(batch: Any) -> dict[str, str]:
    """Digests of a batch's parts by their place, such as `"0"` (inputs) and `"1"` (labels)."""
    return {str(i): _digest(part) for i, part in _parts(batch)}


def row_digests(batch: Any) -> list[str]:
    """A digest of each sample over all parts of the batch; empty where they have no samples in common."""
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


def one_by_one(batches: Sequence[Any], spec: Any) -> Any:
    """An iterator over batches whose element spec is that of the iterator which they were taken from.

    A step that is given batches of another spec (a static batch size for an unknown one) is traced anew, and
    may compute other bits.

    Returns:
        A `tf.data` iterator, None where no such iterator can be made.
    """
    try:
        if len(batches) == 1:
            dataset = tf.data.Dataset.from_tensors(batches[0])
        else:
            dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)
        if dataset.element_spec != spec:
            wanted = tf.nest.flatten(spec, expand_composites=True)

            def relaxed(*parts: Any) -> Any:
                flat = tf.nest.flatten(parts[0] if len(parts) == 1 else parts, expand_composites=True)
                open_ones = [
                    tf.compat.v1.placeholder_with_default(p, s.shape)
                    for p, s in zip(flat, wanted, strict=True)
                ]
                return tf.nest.pack_sequence_as(spec, open_ones, expand_composites=True)

            dataset = dataset.map(relaxed)
        if dataset.element_spec != spec:
            dataset = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=spec)
        return iter(dataset) if dataset.element_spec == spec else None
    except (TypeError, ValueError, AttributeError):
        return None


def _parts(batch: Any) -> Iterator[tuple[int, Any]]:
    """The tensors of a batch with their places; `train_on_batch` is given arrays, Keras gives optionals."""
    held = tf.nest.map_structure(_unpacked, batch)
    for index, part in enumerate(tf.nest.flatten(held, expand_composites=True)):
        if tf.is_tensor(part) or isinstance(part, np.ndarray):
            yield index, tf.convert_to_tensor(part)


def _unpacked(part: Any) -> Any:
    if isinstance(part, tf.experimental.Optional):
        return part.get_value() if part.has_value() else None
    return part


def _digest(part: Any) -> str:
    shape = ",".join(map(str, part.shape.as_list()))
    hasher = xxhash.xxh3_64(f"{part.dtype.name} {shape}".encode())
    hasher.update(bytes_of(part))
    return hasher.hexdigest()
