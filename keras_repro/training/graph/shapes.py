"""The shapes that the operations of a step work on, for batches of a given size.

    graph = shaped_graph(function, spec, samples=32)
    for operation in backend.graphs.operations_of(graph):
        shapes_of(operation)                             # ([(32, 4), (4, 3)], (32, 3))

Keras traces a step for batches of any size. Here it is traced once more for one size. Nothing is run, and the
generators of Python and NumPy are restored afterwards.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_repro.determinism.seeds import capture_rng_state, restore_rng_state
from keras_repro.determinism.thread_rules import Shape


def shaped_graph(single: Any, spec: Any, *, samples: int) -> Any | None:
    """Return the graph of a step over one batch of a given size; None if it cannot be traced alone.

    Args:
        single: Keras's traced function over one batch.
        spec: element spec of the batches, of any size.
        samples: number of samples in a batch.
    """
    rng_state = capture_rng_state()
    try:
        fixed = tf.nest.map_structure(lambda part: _with_size(part, samples), spec, expand_composites=False)
        # A new function: Keras's own would keep the trace.
        return tf.function(single.python_function).get_concrete_function(fixed).graph
    except Exception:  # a step that can only be traced as Keras does it
        return None
    finally:
        restore_rng_state(rng_state)


def shapes_of(operation: Any) -> tuple[list[Shape], Shape]:
    """Return the shapes of an operation's operands, and of its first result, None if it has none."""
    outputs = operation.outputs
    return [_shape(t) for t in operation.inputs], _shape(outputs[0]) if outputs else None


def _with_size(spec: Any, samples: int) -> Any:
    if not isinstance(spec, tf.TensorSpec):
        raise TypeError(f"no dense tensor: {spec}")
    shape = spec.shape.as_list()
    if shape and shape[0] is None:
        shape[0] = samples
    return tf.TensorSpec(shape, spec.dtype)


def _shape(tensor: Any) -> Shape:
    shape = tensor.shape
    return None if shape.rank is None else tuple(shape.as_list())
