"""The thread counts at which a step gives the bits of one thread, from its operations and their shapes.

invariance = find_thread_invariance(optimized_graph, shapes=lambda: graph, samples=32, last=8)
invariance.same_at, invariance.because       # ((1, 2, 4, 8), ("BatchMatMulV2",))
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
from keras_repro.training.graph.shapes import shapes_of

_UNFUSED = {"_FusedMatMul": "MatMul"}


@dataclass(frozen=True)
class ThreadInvariance:
    """The thread counts at which a step gives the same bits.

    Attributes:
        same_at: the counts, of `COUNTS`, known to give the bits of one thread.
        because: types of the operations that exclude other counts.
    """

    same_at: tuple[int, ...] = COUNTS
    because: tuple[str, ...] = ()

    def __and__(self, other: ThreadInvariance) -> ThreadInvariance:
        """Return the invariance of two steps together."""
        both = tuple(n for n in self.same_at if n in other.same_at)
        return ThreadInvariance(both, tuple(dict.fromkeys([*self.because, *other.because])))


def find_thread_invariance(
    graph: Any, *, shapes: Callable[[], Any | None], samples: int | None = None, last: int | None = None
) -> ThreadInvariance:
    """Search an optimized graph for operations whose result depends on the number of threads.

    Args:
        graph: the optimized graph of a step.
        shapes: returns the graph of the same step with all shapes, or None; called only if they matter.
        samples: number of samples in a batch; None if unknown, or if all batches have one size.
        last: number of samples in the last batch, None if it is not smaller.
    """
    types = {node.op for node, _ in backend.graphs.nodes_of(graph)}
    dependent = sorted(t for t in types if not is_the_same_always(t) and not needs_shapes(t))
    if dependent:
        return ThreadInvariance((1,), tuple(dependent))
    undecided = {_UNFUSED.get(t, t) for t in types if needs_shapes(t)}
    shaped = shapes() if undecided else None
    every = () if shaped is None else backend.graphs.operations_of(shaped)
    operations = [o for o in every if needs_shapes(o.type)]
    missing = undecided - {o.type for o in operations}
    if missing:
        return ThreadInvariance((1,), tuple(sorted(missing)))
    invariance = ThreadInvariance()
    for operation in sorted(operations, key=lambda o: o.type):
        inputs, output = shapes_of(operation)
        counts = invariant_thread_counts(operation.type, inputs, output, samples=samples, last=last)
        if counts != COUNTS:
            invariance &= ThreadInvariance(counts, (operation.type,))
    return invariance
