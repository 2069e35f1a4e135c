"""How a `tf.data.Dataset` is handed to `Model.fit`: as it is, with a count of how far Keras has come in it.

A snapshot says how many iterators Keras has made and how many elements the last of them has given. Another
process makes as many, and takes as many elements: a pipeline that gives the same again is then where it was.
The iterators before the last concern only a shuffle that goes on changing: it draws a seed for each.
"""

from __future__ import annotations

from typing import Any

from keras_repro.training.backends.active import backend
from keras_repro.training.data.plans.pipeline_check import Pipeline, check_pipeline
from keras_repro.training.data.plans.plan import DataPlan, FitData, parts_of_batch
from keras_repro.training.data.plans.py_dataset_check import batch_digest


class DatasetPlan(DataPlan):
    """How a `tf.data.Dataset` is handed to `Model.fit`.

    Args:
        data: the dataset, as `x`.
    """

    def __init__(self, data: FitData) -> None:
        super().__init__(data)
        self._pipeline: Pipeline | None = None
        self._made = 0

    @property
    def pipeline(self) -> Pipeline:
        """What is known of the dataset."""
        if self._pipeline is None:
            self._pipeline = Pipeline(self.data.x)
        return self._pipeline

    def check_enterable(self) -> None:
        """Says why it cannot be entered at a position, where it cannot."""
        check_pipeline(self.pipeline, name="x")
        if backend.data_adapters.is_of_unknown_length(self.data.x):
            raise TypeError(
                "x: the length of this tf.data.Dataset is not known, and a step that finds no more data may "
                "move seed generators or not, not the same each time: tell its length with "
                ".apply(tf.data.experimental.assert_cardinality(batches))"
            )
        self.check_validation()

    def first_batch(self) -> Any:
        """A batch as the first is; not it, where asking for it would change the order of the next pass."""
        if not self.pipeline.reshuffled:
            return parts_of_batch(next(iter(self.data.x)))
        import tensorflow as tf

        def zeros(spec: Any) -> Any:
            return tf.zeros([1 if d is None else d for d in spec.shape], spec.dtype)

        return parts_of_batch(tf.nest.map_structure(zeros, self.data.x.element_spec))

    def details(self, *, content: bool) -> dict[str, Any]:
        """What tells the data from others."""
        own = {"pipeline": self.pipeline.digest, "first": first_digest(self.pipeline)} if content else {}
        return own | super().details(content=content)

    def watch(self, epoch_iterator: Any) -> None:
        """Counts the iterators that Keras makes."""
        self._made = 0
        give = type(epoch_iterator)._get_iterator

        def counted() -> Any:
            self._made += 1
            return give(epoch_iterator)

        epoch_iterator._get_iterator = counted

    def kept(self, epoch_iterator: Any) -> Any:
        """How far Keras has come."""
        return {
            "made": self._made,
            "open": epoch_iterator._current_iterator is not None,
            "taken": int(epoch_iterator._steps_seen),
            "length": epoch_iterator._num_batches,
            **super().kept(epoch_iterator),
        }

    def go_on(self, kept: Any, epoch_iterator: Any, step: int) -> None:
        """Makes as many iterators, and takes as many elements from the last."""
        super().go_on(kept, epoch_iterator, step)
        epoch_iterator._num_batches = kept["length"]
        across = epoch_iterator.steps_per_epoch is not None  # one iterator for several epochs
        within = step > 0 or (across and kept["open"])
        if self.pipeline.reshuffled:
            for _ in range(self._made, kept["made"] - within):
                iter(type(epoch_iterator)._get_iterator(epoch_iterator))
        self._made = kept["made"] - within
        if not within:
            return
        current = iter(epoch_iterator._get_iterator())
        for _ in range(kept["taken"]):
            next(current)
        if across:
            epoch_iterator._current_iterator = current
            epoch_iterator._steps_seen = kept["taken"] - step
            return
        give = epoch_iterator._get_iterator

        def once() -> Any:
            epoch_iterator._get_iterator = give
            return _Begun(current)

        epoch_iterator._get_iterator = once


def first_digest(pipeline: Pipeline) -> str:
    """Commits to the first element, before it is shuffled where that goes on changing."""
    first = next(iter(pipeline.before.take(1)), None)
    return "" if first is None else batch_digest(first)


class _Begun:
    """What `iter` gives an iterator of that has begun already."""

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator

    def __iter__(self) -> Any:
        return self._iterator
