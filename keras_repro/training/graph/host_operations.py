"""The operations of a graph that call Python, draw from a counter of their own, or read the clock.

[o.type for o in host_operations(step.get_concrete_function(x, y).graph)]      # ['EagerPyFunc']
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from keras_repro.determinism.operation_catalogue import STATEFUL_RANDOM
from keras_repro.training.backends.active import backend
from keras_repro.training.graph.operation_source import user_line_of
from keras_repro.utils.source_line import SourceLine


@dataclass(frozen=True, kw_only=True)
class HostOperation:
    """An operation whose result the state and the inputs of its graph do not determine.

    Attributes:
        type: its type, or that of the operation in the function that it calls.
        name: its name in the graph.
        index: its index among the operations of the graph.
        line: the user's line that makes it, None if there is none.
        seeded: whether its own seed or the process's determines what it draws; True if it draws nothing.
    """

    type: str
    name: str
    index: int
    line: SourceLine | None
    seeded: bool = True


def host_operations(graph: Any) -> Iterator[HostOperation]:
    """Yield the host operations of a graph, in its order."""
    library: dict[str, Any] = {}
    for index, operation in enumerate(graph.get_operations()):
        node_def = operation.node_def
        if not library and _called(node_def):
            definition = graph.as_graph_def(add_shapes=False)
            library = {f.signature.name: f for f in definition.library.function}
        node = next(filter(_is_host_node, _reached(node_def, library)), None)
        if node is not None:
            line, seeded = user_line_of(operation), _is_seeded(node)
            yield HostOperation(type=node.op, name=operation.name, index=index, line=line, seeded=seeded)


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
    return any(node.op in types for types in (backend.graphs.ON_HOST, backend.graphs.CLOCK, STATEFUL_RANDOM))


def _is_seeded(node: Any) -> bool:
    """Return whether a node has a seed: without one, TensorFlow takes the system's entropy."""
    seeds = [node.attr[name].i for name in ("seed", "seed2") if name in node.attr]
    return not seeds or any(seeds)
