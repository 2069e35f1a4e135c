"""Pass a `tf.data.Dataset` to `Model.fit` unchanged, and count how far Keras has read it.

A snapshot holds how many iterators Keras has made and how many elements it has taken from the last one.
Another process makes as many iterators, and takes as many elements: a deterministic pipeline is then at the
same position. The earlier iterators matter only to a shuffle that reshuffles: it draws a seed for each.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import tensorflow as tf

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
        self._position: Any = None

    @cached_property
    def _pipeline(self) -> Pipeline:
        return Pipeline(self.data.x)

    def check_resumable(self) -> None:
        check_pipeline(self._pipeline, name="x")
        if int(self.data.x.cardinality()) == tf.data.UNKNOWN_CARDINALITY:
            raise TypeError(
                "x: the number of batches of this tf.data.Dataset is unknown, so the end of an epoch cannot "
                "be reproduced exactly: set it with .apply(tf.data.experimental.assert_cardinality(batches))"
            )
        self.check_validation()

    def first_batch(self) -> Any:
        """Return the first batch; one of zeros if drawing it would change the order of the next pass."""
        if not self._pipeline.reshuffled:
            return unpack_batch(next(iter(self.data.x)))

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
        self._position = backend.epoch_entry.count_iterators(epoch_iterator)

    def state(self, epoch_iterator: Any) -> Any:
        return {**self._position.state(), **super().state(epoch_iterator)}

    def restore(self, state: Any, epoch_iterator: Any, step: int) -> None:
        """Make as many iterators, and take as many elements from the last."""
        super().restore(state, epoch_iterator, step)
        self._position.restore(state, step=step, reshuffled=self._pipeline.reshuffled)
