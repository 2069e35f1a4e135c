"""TensorFlow's graph optimizer (Grappler): which of it is on, and what it makes of a graph.

Private names checked with TensorFlow 2.21: `_optimizer_experimental_options` of the context,
`tf_optimizer`, and `_functions` of a graph.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

from keras_repro.determinism.operation_catalogue import MOVING
from keras_repro.training.backends.keras3_tf.graphs import nodes_of

_CALLS = ("StatefulPartitionedCall", "PartitionedCall")
_CPU = "/job:localhost/replica:0/task:0/device:CPU:0"
# The optimizers that still replace operations if those of a portable training are off.
_OPTIMIZERS = ("function", "remap")


def set_options(options: Mapping[str, bool]) -> Callable[[], None]:
    """Set options of the graph optimizer.

    Returns:
        A function that restores those options, and leaves others as they are then.
    """
    import tensorflow as tf
    from tensorflow.python.eager import context

    before = dict(context.context()._optimizer_experimental_options)
    tf.config.optimizer.set_experimental_options(dict(options))

    def undo() -> None:
        now = context.context()
        for name in options:
            now._optimizer_experimental_options.pop(name, None)
        now.set_optimizer_experimental_options({n: v for n, v in before.items() if n in options})

    return undo


def options_on(names: Any) -> list[str]:
    """Return those of some options that are not off in this process."""
    options = _config().graph_options.rewrite_options
    return [name for name in names if getattr(options, name) != options.OFF]


def optimized_graph(concrete: Any) -> Any:
    """Return the graph of a concrete function as the runtime optimizes it before it is run.

    If the graph only calls one other function, the result is that function's graph: inlining the call would
    take as long as everything else.
    """
    from tensorflow.core.protobuf import meta_graph_pb2
    from tensorflow.python.grappler import tf_optimizer

    graph = _only_called(concrete.graph) or concrete.graph
    meta = meta_graph_pb2.MetaGraphDef()
    meta.graph_def.CopyFrom(graph.as_graph_def(add_shapes=False))
    for node, _ in nodes_of(meta.graph_def):
        node.device = node.device or _CPU  # fusing depends on it
    results = itertools.chain(graph.outputs, graph.control_outputs)
    meta.collection_def["train_op"].node_list.value.extend(t.name for t in results)
    config = _config()
    options = config.graph_options.rewrite_options
    del options.optimizers[:]
    options.optimizers.extend(_OPTIMIZERS)
    options.meta_optimizer_iterations = 1
    try:
        return tf_optimizer.OptimizeGraph(config, meta, verbose=False)
    except Exception:  # the runtime runs a graph that Grappler fails on as it is
        return meta.graph_def


def _only_called(graph: Any) -> Any | None:
    """Return the graph of the one function that a graph calls; None if it has other operations that count."""
    calls = []
    for operation in graph.get_operations():
        if operation.type in _CALLS:
            calls.append(operation)
        if operation.type not in MOVING or "GPU" in operation.device:
            return None
    if len(calls) != 1:
        return None
    definition = calls[0].node_def
    if "_XlaMustCompile" in definition.attr and definition.attr["_XlaMustCompile"].b:
        return None
    called = graph._functions.get(definition.attr["f"].func.name)
    return getattr(called, "graph", None)


def _config() -> Any:
    from tensorflow.python.eager import context

    return context.context().config
