"""Stands before a model's training function during one fit, and sees the batches of some of its steps.

    observer = BatchObserver.of(model, epoch_iterator, due=lambda: True)
    observer.install()
    ...                          # Keras makes a step
    observer.seen()              # {"order": "0f3a...", "rows": "77c1..."}
    observer.uninstall()

The batch is taken from Keras's iterator and handed on by another iterator of the same element spec, so that
the step runs the very graph that it would have run; other steps are given Keras's iterator as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_repro.training.backends.active import backend
from keras_repro.training.backends.train_function import TrainFunctionWrapper
from keras_repro.training.data.batch_digests import joint_digests
from keras_repro.training.data.batch_feed import BatchFeed


class BatchObserver(TrainFunctionWrapper):
    """A model's training function with a look at the batches that go in.

    Args:
        model: the model.
        feed: hands batches on.
        due: whether the batches of the next call are to be looked at.
    """

    def __init__(self, model: Any, feed: BatchFeed, due: Callable[[], bool]) -> None:
        super().__init__(model)
        self._feed, self._due = feed, due
        self._batches: list[list[Any]] = []

    @classmethod
    def of(cls, model: Any, epoch_iterator: Any, *, due: Callable[[], bool]) -> BatchObserver | None:
        """A watch over a fit; None where its batches could not be handed on as they are."""
        spec = backend.epoch_entry.spec_of_batches(epoch_iterator)
        feed = None if spec is None else BatchFeed.of(spec, int(epoch_iterator.steps_per_execution or 1))
        return None if feed is None else cls(model, feed, due)

    def uninstall(self) -> None:
        """Leave the chain, and drop the batches of the last step."""
        super().uninstall()
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
