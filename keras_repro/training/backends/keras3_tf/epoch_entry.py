"""Entering an epoch of `Model.fit` behind steps that were made before it was interrupted.

enter(model, epoch_iterator, step=40, logs=logs)      # its next epoch begins at step 40

It concerns one epoch of one fit: `evaluate` takes its batches from an object of the same class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def start_epoch_at_step(
    model: Any, epoch_iterator: Any, *, step: int | None, logs: Mapping[str, Any]
) -> None:
    """Makes the next epoch begin at a step; the data that it takes has to begin there too.

    Where that was its last step, it makes none, and goes on behind it.

    Args:
        model: the model that is trained.
        epoch_iterator: what Keras's `fit` takes its batches from.
        step: steps that were made, a multiple of the steps in one call; None where Keras had already left the
            data for what follows an epoch's steps.
        logs: what the last step's logs were, which Keras would have from it.
    """
    enumerate_epoch = type(epoch_iterator)._enumerate_iterator

    def entered() -> Iterator[Any]:
        del epoch_iterator._enumerate_iterator  # the class's own, from the next epoch on
        for item in enumerate_epoch(epoch_iterator) if step is not None else ():
            # Nothing is taken from the data before Keras gets the item.
            if item[0] >= step:
                yield item

    def result(seen: Any) -> Any:
        del model._get_metrics_result_or_logs
        return type(model)._get_metrics_result_or_logs(model, seen or dict(logs))

    epoch_iterator._enumerate_iterator = entered
    # A model keeps what is assigned to it in its own way; this is no part of it.
    object.__setattr__(model, "_get_metrics_result_or_logs", result)
