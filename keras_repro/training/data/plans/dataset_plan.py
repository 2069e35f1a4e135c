"""Pass a `tf.data.Dataset` to `Model.fit` unchanged, and count how far Keras has read it.

A snapshot holds how many iterators Keras has made and how many elements it has taken from the last one.
Another process makes as many iterators, and takes as many elements: a deterministic pipeline is then at the
same position. The earlier iterators matter only to a shuffle that reshuffles: it draws a seed for each.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

from keras_repro.training.backends.active import backend
from keras_repro.training.data.plans.pipeline_check import Pipeline, check_pipeline
from keras_repro.training.data.plans.plan import DataPlan, FitData, unpack_batch
from keras_repro.training.data.plans.py_dataset_check import batch_digest


class DatasetPlan(DataPlan):
    """Pass a `tf.data.Dataset` to `Model.fit`.

    Args:
        data: the dataset, as `x`.
    """

    def __init__(self, data: FitData) -> None:
        super().__init__(data)
        self._iterators_made = 0

    @cached_property
    def _pipeline(self) -> Pipeline:
        return Pipeline(self.data.x)

    def check_resumable(self) -> None:
        check_pipeline(self._pipeline, name="x")
        if backend.data_adapters.is_of_unknown_length(self.data.x):
            raise TypeError(
                "x: the number of batches of this tf.data.Dataset is unknown, so the end of an epoch cannot "
                "be reproduced exactly: set it with .apply(tf.data.experimental.assert_cardinality(batches))"
            )
        self.check_validation()

    def first_batch(self) -> Any:
        """Return the first batch; one of zeros if drawing it would change the order of the next pass."""
        if not self._pipeline.reshuffled:
            return unpack_batch(next(iter(self.data.x)))
        import tensorflow as tf

        def zeros(spec: Any) -> Any:
            return tf.zeros([1 if d is None else d for d in spec.shape], spec.dtype)

        return unpack_batch(tf.nest.map_structure(zeros, self.data.x.element_spec))

    def details(self, *, content: bool) -> dict[str, Any]:
        if not content:
            return {}
        first = next(iter(self._pipeline.before_shuffle.take(1)), None)
        digest = "" if first is None else batch_digest(first)
        return {"pipeline": self._pipeline.digest, "first": digest}

    def watch(self, epoch_iterator: Any) -> None:
        """Count the iterators that Keras makes."""
        self._iterators_made = 0
        give = type(epoch_iterator)._get_iterator

        def counted() -> Any:
            self._iterators_made += 1
            return give(epoch_iterator)

        epoch_iterator._get_iterator = counted

    def state(self, epoch_iterator: Any) -> Any:
        return {
            "made": self._iterators_made,
            "open": epoch_iterator._current_iterator is not None,
            "taken": int(epoch_iterator._steps_seen),
            "length": epoch_iterator._num_batches,
            **super().state(epoch_iterator),
        }

    def restore(self, state: Any, epoch_iterator: Any, step: int) -> None:
        """Make as many iterators, and take as many elements from the last."""
        super().restore(state, epoch_iterator, step)
        epoch_iterator._num_batches = state["length"]
        across = epoch_iterator.steps_per_epoch is not None  # one iterator for several epochs
        within = step > 0 or (across and state["open"])
        if self._pipeline.reshuffled:
            for _ in range(self._iterators_made, state["made"] - within):
                iter(type(epoch_iterator)._get_iterator(epoch_iterator))
        self._iterators_made = state["made"] - within
        if not within:
            return
        current = iter(epoch_iterator._get_iterator())
        for _ in range(state["taken"]):
            next(current)
        if across:
            epoch_iterator._current_iterator = current
            epoch_iterator._steps_seen = state["taken"] - step
            return
        give = epoch_iterator._get_iterator

        def once() -> Any:
            epoch_iterator._get_iterator = give
            return _BegunIterable(current)

        epoch_iterator._get_iterator = once


class _BegunIterable:
    """An iterable whose iterator has begun already."""

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator

    def __iter__(self) -> Any:
        return self._iterator
