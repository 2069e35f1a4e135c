"""Stands before a model's training function during one fit, and sees the batches of some of its steps.

    watch = BatchObserver.of(model, epoch_iterator, due=lambda: True)
    watch.stand()
    ...                          # Keras makes a step
    watch.seen()                 # {"order": "0f3a...", "rows": "77c1..."}
    watch.leave()

The batch is taken from Keras's iterator and handed on by another iterator of the same element spec, so that
the step runs the very graph that it would have run; other steps are given Keras's iterator as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_repro.training.backends.active import backend
from keras_repro.training.data.batch_digests import joint_digests
from keras_repro.training.data.batch_feed import BatchFeed


class BatchObserver:
    """A model's training function with a look at the batches that go in.

    Args:
        model: the model.
        feed: hands batches on.
        due: whether the batches of the next call are to be looked at.

    Attributes:
        function: the training function that stands behind.
    """

    def __init__(self, model: Any, feed: BatchFeed, due: Callable[[], bool]) -> None:
        self.function: Any = None
        self._model, self._feed, self._due = model, feed, due
        self._batches: list[list[Any]] = []

    @classmethod
    def of(cls, model: Any, epoch_iterator: Any, *, due: Callable[[], bool]) -> BatchObserver | None:
        """A watch over a fit; None where its batches could not be handed on as they are."""
        spec = backend.trainer.spec_of_batches(epoch_iterator)
        feed = None if spec is None else BatchFeed.of(spec, int(epoch_iterator.steps_per_execution or 1))
        return None if feed is None else cls(model, feed, due)

    def stand(self) -> None:
        """Takes its place, unless it has it; Keras may have made another function since."""
        if self not in _chain(self._model):
            self.function = self._model.train_function
            self._model.train_function = self

    def leave(self) -> None:
        """Puts what stands behind into its place again."""
        if self._model.train_function is self:
            self._model.train_function = self.function
        for standing in _chain(self._model):
            if standing.function is self:
                standing.function = self.function
        self._batches = []

    def seen(self) -> dict[str, str] | None:
        """Digests of the batches of the last step, None where it was not looked at; forgets them."""
        batches, self._batches = self._batches, []
        try:
            return joint_digests(batches, samples=self._feed.samples) if batches else None
        except (TypeError, ValueError, tf.errors.OpError):
            return None  # of a kind that has no bytes to look at

    def __call__(self, iterator: Any) -> Any:
        """Runs the step."""
        self._batches = []
        watched = isinstance(iterator, tf.data.Iterator) and self._feed.fits(iterator) and self._due()
        if not watched:
            return self.function(iterator)
        batches: list[list[Any]] = []
        for _ in range(self._feed.at_once):
            try:
                batches.append(backend.data_adapters.next_parts(iterator, dense=self._feed.dense))
            except StopIteration:
                break
        if not batches:
            return self.function(iterator)  # it has no more, and says so in its own way
        self._batches = batches
        return self.function(self._feed.of_batches(batches))


def _chain(model: Any) -> list[Any]:
    """What stands before a model's training function, the first to be called first."""
    found: list[Any] = []
    function: Any = getattr(model, "train_function", None)
    while hasattr(function, "function"):
        found.append(function)
        function = function.function
    return found
