"""Wrap a model's training function during one fit, and digest the batches of some steps.

    observer = BatchObserver.of(model, epoch_iterator, due=lambda steps: True)
    observer.install()
    ...                          # Keras makes a step
    observer.seen()              # {"order": "0f3a...", "rows": "77c1..."}
    observer.uninstall()

The batch is taken from Keras's iterator and passed on by another iterator of the same element spec, so that
the step runs the same graph as without the observer. Other steps get Keras's iterator itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from keras_repro.training.backends.active import backend
from keras_repro.training.backends.train_function import TrainFunctionWrapper
from keras_repro.training.data.batch_digests import joint_digests
from keras_repro.training.data.batch_feed import BatchFeed


class BatchObserver(TrainFunctionWrapper):
    """Wrap a model's training function, and digest its batches.

    Args:
        model: the model.
        feed: passes batches on to the step.
        due: returns whether the batches of the next call are needed, given the number of its steps.
    """

    def __init__(self, model: Any, feed: BatchFeed, due: Callable[[int], bool]) -> None:
        super().__init__(model)
        self._feed, self._due = feed, due
        self._batches: list[list[Any]] = []

    @classmethod
    def of(cls, model: Any, epoch_iterator: Any, *, due: Callable[[int], bool]) -> BatchObserver | None:
        """Return an observer of a fit; None if its batches cannot be passed on unchanged."""
        spec = backend.epoch_entry.spec_of_batches(epoch_iterator)
        at_once = epoch_iterator.steps_per_execution or 1
        is_known = spec is not None and hasattr(at_once, "__index__")  # "auto" is no number
        feed = BatchFeed.of(spec, int(at_once)) if is_known else None
        return None if feed is None else cls(model, feed, due)

    def uninstall(self) -> None:
        """Leave the chain, and drop the batches of the last step."""
        super().uninstall()
        self._batches = []

    def seen(self) -> dict[str, str] | None:
        """Return the digests of the last step's batches and drop them; None if it was not observed."""
        batches, self._batches = self._batches, []
        try:
            return joint_digests(batches, samples=self._feed.samples) if batches else None
        except (TypeError, ValueError, tf.errors.OpError):
            return None  # batches of a kind without bytes

    def __call__(self, iterator: Any) -> Any:
        """Run the step."""
        self._batches = []
        fits = isinstance(iterator, tf.data.Iterator) and self._feed.fits(iterator)
        if not (fits and self._due(self._feed.at_once)):
            return self.function(iterator)
        every_batch = backend.data_adapters.flat_batches(iterator, dense=self._feed.dense)
        batches = list(itertools.islice(every_batch, self._feed.at_once))
        if not batches:
            return self.function(iterator)  # it is at its end, and raises
        self._batches = batches
        return self.function(self._feed.of_batches(batches))
