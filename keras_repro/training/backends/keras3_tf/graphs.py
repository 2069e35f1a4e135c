"""Traced graphs of TensorFlow: the functions behind a training function, and their operations.

Private names checked with Keras 3.15 (`multi_step_on_iterator` and `one_step_on_data`, captured by the
training function) and TensorFlow 2.21 (`_list_all_concrete_functions`, `_functions` of a graph, `Function`,
`op_def_registry`, `script_ops.FuncRegistry`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import wrapt

from keras_repro.determinism.operation_catalogue import STATEFUL_RANDOM
from keras_repro.training.backends.train_function import unwrapped

ON_HOST = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
"""Types of the operations that call Python from inside a graph."""

CLOCK = frozenset({"Timestamp"})
"""Types of the operations that read the clock."""

KERAS_FOLDER, FRAMEWORK_FOLDER = "/keras/src/", "/tensorflow/"
"""Part of the path of every source file of Keras, and of TensorFlow."""


def step_functions(train_function: Any) -> tuple[Any, Any]:
    """Return Keras's two traced functions behind a training or test function.

    Returns:
        The one over an iterator and the one over a batch, each None if it is not traced.
    """
    captured = _captured(train_function)
    over_batch = captured.get("one_step_on_data")
    functions = captured.get("multi_step_on_iterator"), getattr(over_batch, "__wrapped__", over_batch)
    several, single = (f if hasattr(f, "get_concrete_function") else None for f in functions)
    return several, single


def stateful_random_operations(model: Any) -> list[str]:
    """Return the types of the stateful `tf.random` operations in the model's traced training step.

    They keep a counter that is neither saved nor recorded (docs/limits.md).
    """
    types: set[str] = set()
    for function in _captured(getattr(model, "train_function", None)).values():
        list_traced = getattr(function, "_list_all_concrete_functions", None)
        for concrete in list_traced() if list_traced is not None else ():
            types |= operation_types(concrete.graph)
    return sorted(types & STATEFUL_RANDOM)


def operations_of(graph: Any) -> Iterator[Any]:
    """Yield the operations of a graph and of the traced functions that it calls, each function once."""
    seen: set[int] = set()

    def walk(graph: Any) -> Iterator[Any]:
        if id(graph) in seen:
            return
        seen.add(id(graph))
        yield from graph.get_operations()
        for function in getattr(graph, "_functions", {}).values():
            called = getattr(function, "graph", None)
            if hasattr(called, "get_operations"):
                yield from walk(called)

    return walk(graph)


def nodes_of(definition: Any) -> Iterator[tuple[Any, str]]:
    """Yield the nodes of a `GraphDef`, each with the name of the library function that contains it."""
    for node in definition.node:
        yield node, ""
    for function in definition.library.function:
        for node in function.node_def:
            yield node, function.signature.name


def operation_types(graph: Any) -> set[str]:
    """Return the types of the operations in a graph and in the functions of its library."""
    return {str(node.op) for node, _ in nodes_of(graph.as_graph_def(add_shapes=False))}


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


def _captured(function: Any) -> dict[str, Any]:
    """Return the variables over which the function that Keras has made closes, by name."""
    function = unwrapped(function)
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    cells = getattr(function, "__closure__", None) or ()
    return {name: cell.cell_contents for name, cell in zip(names, cells, strict=True)}
