"""The operations of a graph that call Python, draw from a counter of their own, or read the clock.

[o.type for _, o in host_operations(step.get_concrete_function(x, y).graph)]      # ['EagerPyFunc']
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from keras_repro.storage.divergence_report import OperationReport
from keras_repro.training.backends.active import backend
from keras_repro.training.graph.operation_source import user_line_of

_TYPES = backend.graphs.ON_HOST | backend.graphs.CLOCK


def host_operations(graph: Any) -> Iterator[tuple[int, OperationReport]]:
    """Yield the host operations of a graph, each after its index among all operations; no layer is named.

    The state and the inputs of the graph do not determine their results. If an operation calls a function,
    the type is that of the host operation in the function.
    """
    library: dict[str, Any] = {}
    for index, operation in enumerate(graph.get_operations()):
        node_def = operation.node_def
        if not library and _called(node_def):
            definition = graph.as_graph_def(add_shapes=False)
            library = {f.signature.name: f for f in definition.library.function}
        node = next(filter(_is_host_node, _reached(node_def, library)), None)
        if node is not None:
            source, seeded = user_line_of(operation), backend.graphs.is_seeded(node)
            yield index, OperationReport(type=node.op, name=operation.name, source=source, seeded=seeded)


def _reached(node: Any, library: dict[str, Any]) -> Iterator[Any]:
    """Yield a node and those of the functions that it calls, each function once."""
    yield node
    waiting, seen = _called(node), set()
    while waiting:
        name = waiting.pop()
        if name in library and name not in seen:
            seen.add(name)
            for inner in library[name].node_def:
                yield inner
                waiting += _called(inner)


def _called(node: Any) -> list[str]:
    return [a.func.name for a in node.attr.values() if a.HasField("func")]


def _is_host_node(node: Any) -> bool:
    return node.op in _TYPES or backend.graphs.is_stateful_random(node)
