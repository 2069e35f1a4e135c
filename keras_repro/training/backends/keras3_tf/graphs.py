"""Traced graphs of TensorFlow.

Private names checked with Keras 3.15 and TensorFlow 2.21.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import wrapt

from keras_repro.determinism.operation_catalogue import STATEFUL_RANDOM
from keras_repro.training.backends.train_function import unwrapped


def stateful_random_operations(model: Any) -> list[str]:
    """Types of the stateful `tf.random` operations in the model's traced training step.

    They keep a counter that is neither saved nor seen (docs/limits.md).
    """
    found: set[str] = set()
    for graph in _traced_graphs(getattr(model, "train_function", None)):
        found.update(operation_types(graph) & STATEFUL_RANDOM)
    return sorted(found)


# Types of the operations that call Python from inside a graph.
ON_HOST = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
CLOCK = frozenset({"Timestamp"})


def is_stateful(operation: str) -> bool:
    """Return whether TensorFlow declares a type of operation stateful; False for an unknown type."""
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(operation)
    return definition is not None and bool(definition.is_stateful)


def wrap_function_calls(wrapper: Callable[..., Any]) -> None:
    """Wrap the call of every `tf.function`."""
    from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function

    wrapt.wrap_function_wrapper(Function, "__call__", wrapper)


def wrap_python_calls(wrapper: Callable[..., Any]) -> None:
    """Wrap every call of Python code from inside a graph, in whichever thread."""
    from tensorflow.python.ops import script_ops

    wrapt.wrap_function_wrapper(script_ops.FuncRegistry, "__call__", wrapper)


def operation_types(graph: Any) -> set[str]:
    """Types of the operations in a graph and in the functions of its library."""
    definition = graph.as_graph_def(add_shapes=False)
    found = {str(node.op) for node in definition.node}
    for function in definition.library.function:
        found.update(str(node.op) for node in function.node_def)
    return found


def _traced_graphs(train_function: Any) -> Iterator[Any]:
    for cell in getattr(unwrapped(train_function), "__closure__", None) or ():
        function = cell.cell_contents
        listed = getattr(function, "_list_all_concrete_functions", None)
        for concrete in listed() if listed is not None else ():
            yield concrete.graph
