"""Batches given to a training function once more, by an iterator of the same element spec as their own.

A step that is given batches of another spec (a static batch size for an unknown one) is traced anew, and may
compute other bits. `iterator_like` is for a step now and then; a `BatchFeed` for each step of a training:
it stays one iterator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from keras_repro.training.backends.active import backend


def iterator_like(batches: Sequence[Any], spec: Any) -> Any:
    """An iterator over batches whose element spec is that of the iterator which they were taken from.

    Returns:
        A `tf.data` iterator, None where no such iterator can be made.
    """
    dataset: Any = None
    for batch in batches:
        one = tf.data.Dataset.from_tensors(batch)
        if not _fits(one.element_spec, spec):
            return None
        one = backend.pipelines.with_element_spec(one, spec)
        dataset = one if dataset is None else dataset.concatenate(one)
    # For each step a pipeline of its own: to optimize it would take longer than the step.
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_optimization.apply_default_optimizations = False
    return iter(dataset.with_options(options))


class BatchFeed:
    """An iterator that gives the batches which were put into it.

    They go through a queue of TensorFlow's, as they are: a pipeline made anew for each step would be traced
    anew for each step.

    Args:
        spec: the element spec.
        at_once: the most batches that one call of the training function takes.

    Attributes:
        samples: whether the parts of a batch are samples, not what makes up a sparse or ragged tensor.
        dense: whether they are plain tensors.
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
        # No thread may wait for a batch that is not there yet.
        options.experimental_optimization.apply_default_optimizations = False
        options.experimental_optimization.inject_prefetch = False
        options.autotune.enabled = False
        self.dataset = dataset.with_options(options)
        self._iterator: Any = None

    @classmethod
    def of(cls, spec: Any, at_once: int) -> BatchFeed | None:
        """A feed for batches of a spec, None where they cannot go through it unchanged."""
        try:
            parts = tf.nest.flatten(spec, expand_composites=True)
            if any(part.dtype in (tf.variant, tf.resource) for part in parts):
                return None
            feed = cls(spec, at_once)
        except (TypeError, ValueError, AttributeError, NotImplementedError, tf.errors.OpError):
            return None
        return feed if feed.dataset.element_spec == spec else None

    def fits(self, iterator: Any) -> bool:
        """Whether an iterator gives what this can hand on."""
        return bool(iterator.element_spec == self._spec)

    def of_batches(self, batches: Sequence[list[Any]]) -> Any:
        """The iterator, with these batches in it, each given by its parts."""
        for parts in batches:
            # The queue's own method takes three times as long as what it does.
            tf.raw_ops.QueueEnqueueV2(handle=self._queue.queue_ref, components=parts)
        if self._iterator is None:
            self._iterator = iter(self.dataset)
        iterator = self._iterator
        if len(batches) < self.at_once:
            self._iterator = None  # it comes to its end with them
        return iterator

    def _next(self, _: Any) -> Any:
        given = self._queue.dequeue()
        parts = list(given) if isinstance(given, list | tuple) else [given]
        for part, spec in zip(parts, tf.nest.flatten(self._spec, expand_composites=True), strict=True):
            part.set_shape(spec.shape)
        return tf.nest.pack_sequence_as(self._spec, parts, expand_composites=True)


def _fits(narrow: Any, wide: Any) -> bool:
    try:
        tf.nest.assert_same_structure(narrow, wide)
    except (TypeError, ValueError):
        return False
    flat = zip(tf.nest.flatten(wide), tf.nest.flatten(narrow), strict=True)
    return all(one.is_compatible_with(other) for one, other in flat)
