"""The traced functions that a call of Keras's training function runs."""

from __future__ import annotations

import itertools
from typing import Any

import tensorflow as tf

from keras_repro.training.backends.active import backend


def traced_step(function: Any, iterator: Any) -> tuple[Any, Any]:
    """Return the concrete function that a call of a training or test function will run.

    The step is traced as for its first run, which then uses the same trace. Nothing is run.

    Args:
        function: the function that Keras has made, or a wrapper of it.
        iterator: the argument of the coming call.

    Returns:
        The concrete function (None if the step is run eagerly), and the argument for the call.
    """
    several, single = backend.graphs.step_functions(function)
    if isinstance(iterator, tf.data.Iterator | tf.distribute.DistributedIterator):
        return (None if several is None else several.get_concrete_function(iterator)), iterator
    # `train_on_batch` passes a generator of one batch.
    batch = next(iterator)
    restored = itertools.chain([batch], iterator)
    return (None if single is None else single.get_concrete_function(batch)), restored


def step_over_a_batch(function: Any) -> Any | None:
    """Return the traced function over one batch of a training or test function; None if there is none."""
    return backend.graphs.step_functions(function)[1]
