"""Hooks into the creation of variables: Keras makes some of them only inside the first traced step.

Private names checked with Keras 3.10 to 3.15 (`Variable._initialize`, `_value`) and TensorFlow 2.21
(`ResourceVariable`, `Function._initialize_uninitialized_variables`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_repro.training.backends.hooks import Call, Steps, add_hook


def watch_initial_values(is_active: Callable[[], Any], report: Callable[[Any], None]) -> None:
    """Report each variable that Keras or a `tf.function` creates, once it has its initial value.

    Args:
        is_active: whether to report at the moment.
        report: called with the `tf.Variable`.
    """
    import tensorflow as tf
    from keras.src.backend.tensorflow import Variable
    from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function

    def initialize(call: Call) -> Steps:
        yield
        # Inside a traced function the variable has no value yet: `lift` reports it later.
        if is_active() and tf.executing_eagerly():
            report(call.arguments["self"]._value)

    def lift(call: Call) -> Steps:
        yield
        if is_active():
            with tf.init_scope():
                if tf.executing_eagerly():
                    for variable, _ in call.arguments["initializers"]:
                        report(variable)

    add_hook(Variable, "_initialize", initialize)
    add_hook(Function, "_initialize_uninitialized_variables", lift)


def watch_variables(report: Callable[[Any], None]) -> None:
    """Report each `tf.Variable` that is made from now on, at the end of its `__init__`."""
    from tensorflow.python.ops.resource_variable_ops import ResourceVariable

    def init(call: Call) -> Steps:
        yield
        report(call.arguments["self"])

    add_hook(ResourceVariable, "__init__", init)
