"""Hooks into the creation of variables: Keras makes some of them only inside the first traced step.

Private names checked with Keras 3.10 to 3.15 (`Variable._initialize`, `_value`) and TensorFlow 2.21
(`ResourceVariable`, `Function._initialize_uninitialized_variables`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt


def watch_initial_values(is_active: Callable[[], Any], report: Callable[[Any], None]) -> None:
    """Report each variable that Keras or a `tf.function` creates, once it has its initial value.

    Args:
        is_active: whether to report at the moment.
        report: called with the `tf.Variable`.
    """
    import tensorflow as tf
    from keras.src.backend.tensorflow import Variable
    from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function

    def initialize(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        # Inside a traced function the variable has no value yet: `lift` reports it later.
        if is_active() and tf.executing_eagerly():
            report(instance._value)
        return result

    def lift(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        if is_active():
            initializers = args[0] if args else kwargs.get("initializers", ())
            with tf.init_scope():
                if tf.executing_eagerly():
                    for variable, _ in initializers:
                        report(variable)
        return result

    wrapt.wrap_function_wrapper(Variable, "_initialize", initialize)
    wrapt.wrap_function_wrapper(Function, "_initialize_uninitialized_variables", lift)


def watch_variables(report: Callable[[Any], None]) -> None:
    """Report each `tf.Variable` that is made from now on, at the end of its `__init__`."""
    from tensorflow.python.ops.resource_variable_ops import ResourceVariable

    def init(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        report(instance)
        return result

    wrapt.wrap_function_wrapper(ResourceVariable, "__init__", init)
