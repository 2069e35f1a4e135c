"""The operations of a graph that ask the host, draw from a counter of their own, or read the clock.

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
    """One such operation.

    Attributes:
        type: its type, or that of the one in the function that it calls.
        name: its name in the graph.
        index: its place among the operations of the graph.
        line: the user's line that made it, None where there is none.
        seeded: whether a seed decides what it draws, its own or the process's; True for what does not draw.
    """

    type: str
    name: str
    index: int
    line: SourceLine | None
    seeded: bool = True


def host_operations(graph: Any) -> Iterator[HostOperation]:
    """The operations of a graph that its state and its inputs do not decide, in its order."""
    for index, operation in enumerate(graph.get_operations()):
        for kind, seeded in _kinds(operation, graph):
            line = user_line_of(operation)
            yield HostOperation(type=kind, name=operation.name, index=index, line=line, seeded=seeded)
            break


def _is_suspicious(kind: str) -> bool:
    """Whether an operation asks the host or draws from a counter that no state holds."""
    return kind in backend.graphs.ON_HOST or kind in STATEFUL_RANDOM or kind in backend.graphs.CLOCK


def _is_seeded(node: Any) -> bool:
    """Whether an operation of a graph has a seed: without one, TensorFlow takes the system's entropy."""
    seeds = [node.attr[name].i for name in ("seed", "seed2") if name in node.attr]
    return not seeds or any(seeds)


def _kinds(operation: Any, graph: Any) -> Iterator[tuple[str, bool]]:
    """The suspicious types of an operation or of those in what it calls, and whether they are seeded."""
    if _is_suspicious(operation.type):
        yield operation.type, _is_seeded(operation.node_def)
    if any(a.HasField("func") for a in operation.node_def.attr.values()):
        names = {a.func.name for a in operation.node_def.attr.values() if a.HasField("func")}
        library = {f.signature.name: f for f in graph.as_graph_def(add_shapes=False).library.function}
        waiting, seen = list(names), set()
        while waiting:
            name = waiting.pop()
            if name in seen or name not in library:
                continue
            seen.add(name)
            for node in library[name].node_def:
                if _is_suspicious(node.op):
                    yield node.op, _is_seeded(node)
                waiting += [a.func.name for a in node.attr.values() if a.HasField("func")]
