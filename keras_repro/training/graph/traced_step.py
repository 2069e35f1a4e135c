"""The traced functions that a call of Keras's training function runs, and a hook before its first run.

trace = FirstTrace(model, lambda graph: print(len(graph.get_operations())))
trace.install()
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tensorflow as tf

from keras_repro.training.backends.active import backend
from keras_repro.training.backends.train_function import TrainFunctionWrapper


class FirstTrace(TrainFunctionWrapper):
    """Wrap a function of a model: trace it before its first run, report its graph, and uninstall.

    Args:
        model: the model, which has the function.
        report: called with the graph; not called if the step is run eagerly.
        attribute: name of the function.
        around: makes the context in which the function is traced.
    """

    def __init__(
        self,
        model: Any,
        report: Callable[[Any], None],
        attribute: str = "train_function",
        *,
        around: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        super().__init__(model, attribute)
        self._report, self._around = report, around

    def __call__(self, iterator: Any) -> Any:
        self.uninstall()
        if any(f is not None for f in backend.graphs.step_functions(self.function)):
            with self._around():
                concrete, iterator = traced_step(self.function, iterator)
            if concrete is not None:
                self._report(concrete.graph)
        return self.function(iterator)

    def trace(self, spec: Any) -> None:
        """Trace the function now, for batches of an element spec; later if the spec is None."""
        several, _ = backend.graphs.step_functions(self.function)
        if several is not None and spec is not None:
            self.uninstall()
            with self._around():
                concrete = several.get_concrete_function(tf.data.IteratorSpec(spec))
            self._report(concrete.graph)


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
    is_iterator = isinstance(iterator, tf.data.Iterator | tf.distribute.DistributedIterator)
    if is_iterator and several is not None:
        return several.get_concrete_function(iterator), iterator
    if single is None:
        return None, iterator
    # `train_on_batch` passes a generator of one batch.
    batch = next(iterator, None)
    if batch is None:
        return None, iterator
    return single.get_concrete_function(batch), itertools.chain([batch], iterator)
