"""Keras's `EpochIterator`, from which `fit` takes its batches: its position, and entering an epoch at a step.

Private names checked with Keras 3.15: `EpochIterator` (`_get_iterator`, `_enumerate_iterator`,
`_current_iterator`, `_steps_seen`, `_num_batches`, `_distributed_dataset`), and of a model
`_get_metrics_result_or_logs`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from keras_repro.source_code.call_site import frames_from
from keras_repro.training.backends.hooks import Call, Steps, Undo, add_hook


def calling_epoch_iterator(frame: Any) -> Any:
    """Return the epoch iterator of the `fit` that calls from `frame` or above it, else None."""
    from keras.src.trainers.epoch_iterator import EpochIterator

    for caller in frames_from(frame):
        if caller.f_code.co_name == "fit":
            epoch_iterator = caller.f_locals.get("epoch_iterator")
            if isinstance(epoch_iterator, EpochIterator):
                return epoch_iterator
    return None


def watch_data_adapters(report: Callable[[Any], None]) -> Undo:
    """Report the data adapter of each epoch iterator that Keras makes from now on.

    Returns:
        A function that ends it.
    """
    from keras.src.trainers.epoch_iterator import EpochIterator

    def init(call: Call) -> Steps:
        yield
        report(call.arguments["self"].data_adapter)

    return add_hook(EpochIterator, "__init__", init)


def spec_of_batches(epoch_iterator: Any) -> Any:
    """Return the element spec of the batches, None if they do not come from a `tf.data.Dataset`."""
    import tensorflow as tf

    dataset = getattr(epoch_iterator, "_distributed_dataset", None)
    return dataset.element_spec if isinstance(dataset, tf.data.Dataset) else None


def new_iterator(epoch_iterator: Any) -> Iterator[Any]:
    """Return an iterator over the batches, made as Keras makes one for an epoch."""
    return iter(epoch_iterator._get_iterator())


def last_step(epoch_iterator: Any, batch: int) -> int:
    """Return the last step of a call of the training function, from the number that callbacks get.

    With several steps in a call, that is the first step's number in older versions, the last one's in newer.
    """
    steps = getattr(epoch_iterator, "steps_per_execution", 1)
    return batch - batch % steps + steps - 1


def steps_not_made(epoch_iterator: Any) -> int:
    """Return by how many steps Keras counts too far if the data ended within a call for several steps.

    0 if the number of batches is unknown.
    """
    length = getattr(epoch_iterator, "_num_batches", None)
    if not length or epoch_iterator.steps_per_execution == 1:
        return 0
    return max(0, int(epoch_iterator._steps_seen) - int(length))


def start_epoch_at_step(
    model: Any, epoch_iterator: Any, *, step: int | None, logs: Mapping[str, Any]
) -> None:
    """Make the next epoch of `fit` begin at a step; the data has to begin there too.

    If that was the epoch's last step, Keras makes none and continues with what follows the steps.

    Args:
        model: the model in training.
        epoch_iterator: the epoch iterator of this fit.
        step: number of steps already made, a multiple of `steps_per_execution`; None if the steps of
            the epoch were over.
        logs: logs of the last step, which Keras takes for the epoch's if it makes no step.
    """
    enumerate_epoch = type(epoch_iterator)._enumerate_iterator

    def enumerate_from_step() -> Iterator[Any]:
        del epoch_iterator._enumerate_iterator  # later epochs use the class's own
        for item in enumerate_epoch(epoch_iterator) if step is not None else ():
            # Nothing is taken from the data before Keras gets the item.
            if item[0] >= step:
                yield item

    def metrics_or_logs(step_logs: Any) -> Any:
        del model._get_metrics_result_or_logs
        return type(model)._get_metrics_result_or_logs(model, step_logs or dict(logs))

    epoch_iterator._enumerate_iterator = enumerate_from_step
    # `Model.__setattr__` would track it as a part of the model.
    object.__setattr__(model, "_get_metrics_result_or_logs", metrics_or_logs)


def count_iterators(epoch_iterator: Any) -> DatasetPosition:
    """Count the iterators that Keras makes from now on, to restore the position in a `tf.data.Dataset`."""
    return DatasetPosition(epoch_iterator)


class DatasetPosition:
    """How far Keras has read a `tf.data.Dataset`: the iterators made, and the elements taken from the last.

    Args:
        epoch_iterator: the epoch iterator of a fit, whose iterators are counted from now on.
    """

    def __init__(self, epoch_iterator: Any) -> None:
        self._epoch_iterator = epoch_iterator
        self._iterators_made = 0
        make = type(epoch_iterator)._get_iterator

        def counted() -> Any:
            self._iterators_made += 1
            return make(epoch_iterator)

        epoch_iterator._get_iterator = counted

    def state(self) -> dict[str, Any]:
        """Return the position in plain values."""
        return {
            "made": self._iterators_made,
            "open": self._epoch_iterator._current_iterator is not None,
            "taken": int(self._epoch_iterator._steps_seen),
            "length": self._epoch_iterator._num_batches,
        }

    def restore(self, state: Mapping[str, Any], *, step: int, reshuffled: bool) -> None:
        """Make as many iterators, and take as many elements from the last.

        Args:
            state: as `state` returned it, in this process or another.
            step: the step at which the epoch continues.
            reshuffled: whether each iterator has another order: earlier ones are then made too.
        """
        epoch_iterator = self._epoch_iterator
        epoch_iterator._num_batches = state["length"]
        across = epoch_iterator.steps_per_epoch is not None  # one iterator for several epochs
        within = step > 0 or (across and state["open"])
        if reshuffled:
            for _ in range(self._iterators_made, state["made"] - within):
                iter(type(epoch_iterator)._get_iterator(epoch_iterator))
        self._iterators_made = state["made"] - within
        if not within:
            return
        make = epoch_iterator._get_iterator
        current = iter(make())
        for _ in range(state["taken"]):
            next(current)
        if across:
            epoch_iterator._current_iterator = current
            epoch_iterator._steps_seen = state["taken"] - step
            return

        def give_current() -> Any:
            epoch_iterator._get_iterator = make
            return current  # it is its own iterator

        epoch_iterator._get_iterator = give_current
