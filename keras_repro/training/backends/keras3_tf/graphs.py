"""Traced graphs of TensorFlow: the functions that a training function calls, and their operations.

Private names checked with Keras 3.10 to 3.15 (`multi_step_on_iterator` and `one_step_on_data`, captured by
the training function) and TensorFlow 2.16 to 2.21 (`_list_all_concrete_functions`, `_functions` of a graph,
`Function`, `op_def_registry`, `script_ops.FuncRegistry`, `_handle_data` and the text of a resource, `_values`
of a distributed variable, `BaseResourceVariable`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from keras_repro.determinism.operation_catalogue import SELF_SEEDED, STATEFUL_RANDOM
from keras_repro.training.backends.hooks import Handler, add_hook
from keras_repro.training.backends.train_function import unwrapped

ON_HOST = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})
"""Types of the operations that call Python from inside a graph."""

CLOCK = frozenset({"Timestamp"})
"""Types of the operations that read the clock."""

VARIABLE, TABLE, SUMMARY_WRITER = (
    "tensorflow::Var",
    "tensorflow::lookup::LookupInterface",
    "tensorflow::SummaryWriterInterface",
)
"""Kinds of resources that a traced function may capture."""

KERAS_FOLDER, FRAMEWORK_FOLDER = "/keras/src/", "/tensorflow/"
"""Part of the path of every source file of Keras, and of TensorFlow."""


def step_functions(train_function: Any) -> tuple[Any, Any]:
    """Return Keras's two traced functions that a training or test function calls.

    Returns:
        The one over an iterator and the one over a batch, each None if it is not traced or never called.
    """
    captured = _captured(train_function)
    over_batch = captured.get("one_step_on_data")
    if not _is_traced(over_batch):  # Keras wraps the traced function since 3.12
        over_batch = getattr(over_batch, "__wrapped__", None)
    over_iterator = None if _calls_each_step(train_function) else captured.get("multi_step_on_iterator")
    several, single = (f if _is_traced(f) else None for f in (over_iterator, over_batch))
    return several, single


def stateful_random_operations(model: Any) -> list[str]:
    """Return the types of the stateful random operations in the model's traced training step.

    They keep a counter that is neither saved nor recorded (docs/limits.md), or take the system's entropy.
    """
    types: set[str] = set()
    for function in step_functions(getattr(model, "train_function", None)):
        for concrete in () if function is None else function._list_all_concrete_functions():
            definition = concrete.graph.as_graph_def(add_shapes=False)
            types |= {str(node.op) for node, _ in nodes_of(definition) if is_stateful_random(node)}
    return sorted(types)


def operations_of(graph: Any) -> Iterator[Any]:
    """Yield the operations of a graph and of the traced functions that it calls, each function once."""
    for called in _with_called(graph):
        yield from called.get_operations()


def captured_resources(graph: Any) -> Iterator[tuple[Any, str, list[Any]]]:
    """Yield the resources (variables, tables, ...) that a traced function takes from outside.

    Yields:
        The resource's handle; its kind, such as `VARIABLE`; the operations that use it, those of called
        functions too. In the order of the trace.
    """
    import tensorflow as tf

    pairs = [pair for called in _with_called(graph) for pair in called.captures]
    outside = {id(inner): outer for outer, inner in pairs}
    users: dict[int, list[Any]] = {}
    for outer, inner in pairs:
        while id(outer) in outside:  # it is passed through another function
            outer = outside[id(outer)]
        users.setdefault(id(outer), []).extend(inner.consumers())
    for handle, _ in graph.captures:
        if handle.dtype == tf.resource:
            kind = re.search(r'type="([^"]*)"', str(handle))
            yield handle, "" if kind is None else kind[1], users[id(handle)]


def variable_of(handle: Any) -> Any:
    """Return a `tf.Variable` with the handle of a variable."""
    import tensorflow as tf
    from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable

    ((shape, dtype),) = [(s.shape, s.dtype) for s in handle._handle_data.shape_and_type]
    name = re.search(r'name="([^"]*)"', str(handle))
    return BaseResourceVariable(
        handle=handle,
        handle_name=("" if name is None else name[1]).rpartition("/")[0] or "Variable",
        unique_id=f"captured_{id(handle)}",
        shape=tf.TensorShape(shape),
        dtype=tf.as_dtype(dtype),
        trainable=False,
        distribute_strategy=None,
    )


def handles_of(variable: Any) -> list[Any]:
    """Return the handle of a `tf.Variable`, those of all its copies if it is distributed."""
    return [v.handle for v in getattr(variable, "_values", None) or (variable,) if hasattr(v, "handle")]


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


def is_stateful_random(node: Any) -> bool:
    """Return whether a node draws from a counter of its own, or without a seed that the process can set."""
    if node.op in SELF_SEEDED:
        return not is_seeded(node)
    # The layers of cuDNN draw for dropout only.
    draws_dropout = node.op.startswith("CudnnRNN") and is_stateful(node.op) and node.attr["dropout"].f > 0
    return node.op in STATEFUL_RANDOM or draws_dropout


def is_seeded(node: Any) -> bool:
    """Return whether a node has a seed: without one, TensorFlow takes the system's entropy."""
    seeds = [node.attr[name].i for name in ("seed", "seed2") if name in node.attr]
    return not seeds or any(seeds)


def hook_function_calls(handler: Handler) -> None:
    """Hook the call of every `tf.function`."""
    from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function

    add_hook(Function, "__call__", handler)


def hook_python_calls(handler: Handler) -> None:
    """Hook every call of Python code from inside a graph, in any thread."""
    from tensorflow.python.ops import script_ops

    add_hook(script_ops.FuncRegistry, "__call__", handler)


def _calls_each_step(train_function: Any) -> bool:
    """Return whether Keras takes each batch from the iterator itself, as newer versions do for one step."""
    taken = getattr(getattr(unwrapped(train_function), "__code__", None), "co_names", ())
    model = _captured(train_function).get("self")
    return "get_next_as_optional" in taken and getattr(model, "steps_per_execution", None) == 1


def _is_traced(function: Any) -> bool:
    return hasattr(function, "get_concrete_function")


def _with_called(graph: Any) -> Iterator[Any]:
    """Yield a graph and those of the traced functions that it calls, each once."""
    waiting, seen = [graph], set()
    while waiting:
        graph = waiting.pop(0)
        if id(graph) in seen or not hasattr(graph, "get_operations"):
            continue
        seen.add(id(graph))
        yield graph
        waiting += [getattr(f, "graph", None) for f in getattr(graph, "_functions", {}).values()]


def _captured(function: Any) -> dict[str, Any]:
    """Return the variables over which the function that Keras has made closes, by name."""
    function = unwrapped(function)
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    cells = getattr(function, "__closure__", None) or ()
    return {name: cell.cell_contents for name, cell in zip(names, cells, strict=True)}
