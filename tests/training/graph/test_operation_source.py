"""The source line of an operation: the innermost of the user, or else of a library."""

from __future__ import annotations

from typing import Any

import keras
import pytest
import tensorflow as tf
from keras import layers
from training import models

from keras_repro.training.backends.active import backend
from keras_repro.training.graph.operation_source import source_of_operation, user_line_of
from keras_repro.training.graph.traced_step import traced_step

HERE = "test_operation_source.py"


def _operations(graph: Any, kind: str) -> list[Any]:
    return [operation for operation in graph.get_operations() if operation.type == kind]


def test_innermost_line_of_the_user_is_found() -> None:
    def square(x: Any) -> Any:
        return tf.square(x)

    graph = tf.function(square, autograph=False).get_concrete_function(tf.constant(1.0)).graph
    (operation,) = _operations(graph, "Square")
    line = user_line_of(operation)
    assert line is not None
    assert (line.function, line.line) == ("square", square.__code__.co_firstlineno + 1)
    assert source_of_operation(operation) == f"{HERE}:{line.line}"


@pytest.mark.parametrize("folder", ["tensorflow", "keras/src", "keras_repro"])
def test_users_folder_may_be_named_after_a_library(folder: str) -> None:
    names: dict[str, Any] = {"tf": tf}
    exec(compile("def f(x):\n    return tf.square(x)\n", f"/home/me/{folder}/train.py", "exec"), names)
    graph = tf.function(names["f"], autograph=False).get_concrete_function(tf.constant(1.0)).graph
    (operation,) = _operations(graph, "Square")
    assert source_of_operation(operation) == "train.py:2"


def test_operation_of_a_keras_layer_has_a_line_of_keras() -> None:
    x, y = models.data()
    models.fresh()
    model = models.compiled(keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Softmax()]))
    model.make_train_function()
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(8)
    concrete, _ = traced_step(model.train_function, iter(data))
    _, single = backend.graphs.step_functions(model.train_function)
    graph = single.get_concrete_function(next(iter(data))).graph
    assert concrete is not None
    sources = {source_of_operation(operation) for operation in _operations(graph, "Softmax")}
    assert all(source.startswith("keras/src/") for source in sources)
