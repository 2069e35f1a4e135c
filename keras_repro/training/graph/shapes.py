"""The shapes that the operations of a step work on, for batches of a given size.

    graph = shaped_graph(function, iterator, samples=32)
    for operation in shaped_operations(graph):
        operation.type, operation.inputs, operation.output

A step is traced for batches of any size. Here it is traced once more, by itself, for batches of one size,
and nothing of it is run; Python's and NumPy's generators are put back afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from keras_repro.determinism.thread_rules import Shape


@dataclass(frozen=True)
class ShapedOperation:
    """An operation with its shapes.

    Attributes:
        type: its type.
        inputs: the shapes of its operands.
        output: the shape of its first result, None where it has none.
    """

    type: str
    inputs: tuple[Shape, ...]
    output: Shape


def shaped_graph(single: Any, spec: Any, *, samples: int) -> Any | None:
    """The graph of a step over one batch of a given size; None where it cannot be had.

    Args:
        single: the traced function of Keras that makes a step over one batch.
        spec: what it is traced for: the types of a batch's parts, of any size.
        samples: how many there are in a batch.
    """
    states = random.getstate(), np.random.get_state()
    try:
        fixed = tf.nest.map_structure(lambda one: _of_size(one, samples), spec, expand_composites=False)
        # A function of its own: Keras's would keep the trace.
        return tf.function(single.python_function).get_concrete_function(fixed).graph
    except Exception:  # a step that can only be traced as Keras does it
        return None
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def shaped_operations(graph: Any) -> Iterator[ShapedOperation]:
    """The operations of a traced graph and of the traced functions that it calls, each of these once."""
    seen: set[int] = set()
    waiting = [graph]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        for operation in one.get_operations():
            outputs = operation.outputs
            yield ShapedOperation(
                type=operation.type,
                inputs=tuple(_shape(t) for t in operation.inputs),
                output=_shape(outputs[0]) if outputs else None,
            )
        for function in getattr(one, "_functions", {}).values():
            inner = getattr(function, "graph", None)
            if inner is not None and hasattr(inner, "get_operations"):
                waiting.append(inner)


def _of_size(spec: Any, samples: int) -> Any:
    if not isinstance(spec, tf.TensorSpec):
        raise TypeError(f"no dense tensor: {spec}")
    shape = spec.shape.as_list()
    if shape and shape[0] is None:
        shape[0] = samples
    return tf.TensorSpec(shape, spec.dtype)


def _shape(tensor: Any) -> Shape:
    shape = tensor.shape
    return None if shape.rank is None else tuple(shape.as_list())
