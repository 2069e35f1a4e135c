"""Iterators that pass given batches to a training function, with the element spec of the original iterator.

A step with another spec (a static batch size in place of an unknown one) is traced again, and may compute
other bits. `iterator_like` is for single steps. A `BatchFeed` is for every step of a training: it stays one
iterator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_repro.training.backends.active import backend


def iterator_like(batches: Sequence[Any], spec: Any) -> Any:
    """Return an iterator over batches with the element spec of the iterator that yielded them.

    Returns:
        A `tf.data` iterator, None if the batches do not fit the spec.
    """
    dataset: Any = None
    for batch in batches:
        single = tf.data.Dataset.from_tensors(batch)
        if not _fits(single.element_spec, spec):
            return None
        single = backend.pipelines.with_element_spec(single, spec)
        dataset = single if dataset is None else dataset.concatenate(single)
    # Each step has a new pipeline: optimizing it would take longer than the step.
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return iter(dataset.with_options(options))


class BatchFeed:
    """An iterator that yields the batches that were put into it.

    They pass through a TensorFlow queue: with a new pipeline for each step, each step would be traced again.

    Args:
        spec: the element spec.
        at_once: the maximum number of batches in one call of the training function.

    Attributes:
        samples: whether the parts of a batch contain samples: not if a tensor is sparse or ragged.
        dense: whether the parts are plain tensors.
    """

    def __init__(self, spec: Any, at_once: int) -> None:
        self.at_once = at_once
        self._spec = spec
        parts = tf.nest.flatten(spec, expand_composites=True)
        self.samples = len(parts) == len(tf.nest.flatten(spec))
        self.dense = all(type(part) is tf.TensorSpec for part in tf.nest.flatten(spec))
        with tf.device("CPU:0"):
            self._queue = tf.queue.FIFOQueue(at_once, [part.dtype for part in parts])
            dataset = tf.data.Dataset.from_tensors(0).repeat()
            if at_once > 1:  # the last batches of an epoch may be fewer
                dataset = dataset.take_while(lambda _: self._queue.size() > 0)
            dataset = dataset.map(self._next)
        options = tf.data.Options()
        # No thread may wait for a batch that does not exist yet.
        options.experimental_optimization.apply_default_optimizations = False
        options.experimental_optimization.inject_prefetch = False
        options.autotune.enabled = False
        self.dataset = dataset.with_options(options)
        self._iterator: Any = None

    @classmethod
    def of(cls, spec: Any, at_once: int) -> BatchFeed | None:
        """Return a feed for batches of a spec, None if they cannot pass through it unchanged."""
        try:
            parts = tf.nest.flatten(spec, expand_composites=True)
            if any(part.dtype in (tf.variant, tf.resource) for part in parts):
                return None
            feed = cls(spec, at_once)
        except (TypeError, ValueError, AttributeError, NotImplementedError, tf.errors.OpError):
            return None
        return feed if feed.dataset.element_spec == spec else None

    def fits(self, iterator: Any) -> bool:
        """Return whether an iterator has the element spec of this feed."""
        return bool(iterator.element_spec == self._spec)

    def of_batches(self, batches: Sequence[list[Any]]) -> Any:
        """Return the iterator, with these batches in it, each as a list of its parts."""
        for parts in batches:
            # The Python method of the queue takes three times as long.
            tf.raw_ops.QueueEnqueueV2(handle=self._queue.queue_ref, components=parts)
        if self._iterator is None:
            self._iterator = iter(self.dataset)
        iterator = self._iterator
        if len(batches) < self.at_once:
            self._iterator = None  # it is exhausted after them
        return iterator

    def _next(self, _: Any) -> Any:
        dequeued = self._queue.dequeue()
        parts = list(dequeued) if isinstance(dequeued, list | tuple) else [dequeued]
        for part, spec in zip(parts, tf.nest.flatten(self._spec, expand_composites=True), strict=True):
            part.set_shape(spec.shape)
        return tf.nest.pack_sequence_as(self._spec, parts, expand_composites=True)


def _fits(narrow: Any, wide: Any) -> bool:
    try:
        tf.nest.assert_same_structure(narrow, wide)
    except (TypeError, ValueError):
        return False
    flat = zip(tf.nest.flatten(wide), tf.nest.flatten(narrow), strict=True)
    return all(wide_spec.is_compatible_with(narrow_spec) for wide_spec, narrow_spec in flat)
