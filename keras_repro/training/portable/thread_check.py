"""At which numbers of threads a step gives the same bits, as far as its operations and their shapes tell.

found = search_threads(optimized_graph(concrete), shapes=lambda: graph, samples=32, last=8)
found.same_at, found.because       # ((1, 2, 4, 8), ("BatchMatMulV2",))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_repro.determinism.thread_rules import (
    COUNTS,
    invariant_thread_counts,
    is_the_same_always,
    needs_shapes,
)
from keras_repro.training.backends.active import backend
from keras_repro.training.graph.shapes import shaped_operations

_UNFUSED = {"_FusedMatMul": "MatMul"}


@dataclass(frozen=True)
class Threads:
    """What depends on the number of threads.

    Attributes:
        same_at: the numbers, of `COUNTS`, at which the step is known to give the bits of one thread.
        because: types of the operations that keep others out.
    """

    same_at: tuple[int, ...] = COUNTS
    because: tuple[str, ...] = ()

    def __and__(self, other: Threads) -> Threads:
        """What holds of two steps together."""
        both = tuple(n for n in self.same_at if n in other.same_at)
        return Threads(both, tuple(dict.fromkeys([*self.because, *other.because])))


def search_threads(
    graph: Any, *, shapes: Callable[[], Any | None], samples: int | None = None, last: int | None = None
) -> Threads:
    """Searches an optimized graph.

    Args:
        graph: what `graph_search.optimized_graph` returned.
        shapes: returns the graph of the same step with all its shapes, or None; asked only where it matters.
        samples: how many there are in a batch; None where that is not known, or all batches are alike.
        last: how many there are in the last batch, where it is smaller.
    """
    types = {node.op for node, _ in backend.graphs.nodes_of(graph)}
    depending = sorted(t for t in types if not is_the_same_always(t) and not needs_shapes(t))
    if depending:
        return Threads((1,), tuple(depending))
    open_ones = {_UNFUSED.get(t, t) for t in types if needs_shapes(t)}
    if not open_ones:
        return Threads()
    shaped = shapes()
    operations = [] if shaped is None else list(shaped_operations(shaped))
    missing = open_ones - {o.type for o in operations}
    if missing:
        return Threads((1,), tuple(sorted(missing)))
    numbers, because = set(COUNTS), []
    for one in operations:
        if not needs_shapes(one.type):
            continue
        same = invariant_thread_counts(one.type, one.inputs, one.output, samples=samples, last=last)
        if same != COUNTS:
            because.append(one.type)
            numbers &= set(same)
    return Threads(tuple(n for n in COUNTS if n in numbers), tuple(sorted(set(because))))
