"""The operations of a training step as TensorFlow will run them, and those that are not known to be portable.

    step = traced_step(model.train_function, iterator)
    search(step, layers={"sequential_1/dense_1": "dense"})     # Findings; none where all are known

A step is traced as for its first run (which then takes the same trace), and optimized as the runtime will do
it, without running anything. Functions in its library are searched too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

from keras_repro.determinism.operation_catalogue import MOVING, why_not_portable
from keras_repro.determinism.portable_pins import GRAPH_OPTIMIZER
from keras_repro.training.backends.train_function import unwrapped

_EMPTY = ("", "", "")
_CALLS = ("StatefulPartitionedCall", "PartitionedCall")
_CPU = "/job:localhost/replica:0/task:0/device:CPU:0"
# Of TensorFlow's graph optimizers, those that still make other operations with `GRAPH_OPTIMIZER` off.
_OPTIMIZERS = ("function", "remap")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An operation that is not known to give the same bits on another CPU.

    Attributes:
        operation: its type, such as `"Rsqrt"`.
        reason: what is known against it.
        name: its name in the graph.
        layer: the layer that makes it, empty where none does.
        source: where it is made, as `file:line`, the user's own line where there is one; empty where unknown.
        count: how many there are of this type, layer and source.
    """

    operation: str
    reason: str
    name: str = ""
    layer: str = ""
    source: str = ""
    count: int = 1

    def __str__(self) -> str:
        times = f" ({self.count} times)" if self.count > 1 else ""
        layer = f" in layer {self.layer}" if self.layer else ""
        source = f", made at {self.source}" if self.source else ""
        return f"{self.operation}{times}{layer}{source}: {self.reason}"

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def traced_step(function: Any, iterator: Any) -> tuple[Any, Any]:
    """The concrete function that a call of Keras's training function will run.

    Args:
        function: the training function that Keras has made.
        iterator: what it is about to be called with.

    Returns:
        The concrete function (None where the step is run eagerly), and what to call the function with.
    """
    several, single = _traced_functions(function)
    if isinstance(iterator, tf.data.Iterator | tf.distribute.DistributedIterator):
        return (None if several is None else several.get_concrete_function(iterator)), iterator
    # `train_on_batch` hands over a generator of one batch.
    batch = next(iterator)
    again = itertools.chain([batch], iterator)
    return (None if single is None else single.get_concrete_function(batch)), again


def find_unportable_operations(
    concrete: Any, *, layers: Mapping[str, str], where: Callable[[Any], str] = str, graph: Any = None
) -> tuple[Finding, ...]:
    """Searches a concrete function for what is not known to be portable.

    Args:
        concrete: what `traced_step` returned.
        graph: its `optimized_graph`, where that is at hand.
        layers: the layer's name of each name scope.
        where: makes a text of the frames of an operation's traceback, the outermost first.
    """
    found: dict[tuple[str, str, str, str], Finding] = {(*_EMPTY, f.reason): f for f in _of_the_process()}
    makers: dict[str, Any] = {}
    for node, inside in _nodes(optimized_graph(concrete) if graph is None else graph):
        if node.op in MOVING and "_XlaMustCompile" not in node.attr and "GPU" not in node.device:
            continue
        reason = why_not_portable(node.op, _types_of(node), _attributes_of(node))
        if reason is None:
            continue
        makers = makers or _makers(concrete.graph)
        maker = makers.get(_own_name(node.name)) or makers.get(_own_name(inside))
        source = "" if maker is None else where(maker)
        layer = _layer_of(node.name, layers) or _layer_of(inside, layers)
        key = node.op, reason, layer, source
        before = found.get(key)
        found[key] = Finding(
            operation=node.op,
            reason=reason,
            name=node.name if before is None else before.name,
            layer=layer,
            source=source,
            count=1 if before is None else before.count + 1,
        )
    return tuple(found.values())


def _of_the_process() -> Iterator[Finding]:
    """What in the process's own settings would make a graph others than the one that is searched."""
    from tensorflow.python.eager import context

    if tf.config.list_physical_devices("GPU"):
        yield Finding(operation="GPU", reason="a GPU takes part: hide it with CUDA_VISIBLE_DEVICES=-1")
    options = context.context().config.graph_options.rewrite_options
    for name in GRAPH_OPTIMIZER:
        if getattr(options, name) != options.OFF:
            reason = f"the program has turned the graph optimizer's {name} on again"
            yield Finding(operation="graph optimizer", reason=reason)


def optimized_graph(concrete: Any) -> Any:
    """The graph of a concrete function, optimized as the runtime does before it runs it.

    Where it only calls another one, the graph is that one's: to put its operations in place of the call would
    take as long as all the rest.
    """
    from tensorflow.core.protobuf import meta_graph_pb2
    from tensorflow.python.eager import context
    from tensorflow.python.grappler import tf_optimizer

    graph = _only_called(concrete.graph) or concrete.graph
    meta = meta_graph_pb2.MetaGraphDef()
    meta.graph_def.CopyFrom(graph.as_graph_def(add_shapes=False))
    bodies = [meta.graph_def.node, *(f.node_def for f in meta.graph_def.library.function)]
    for node in itertools.chain.from_iterable(bodies):
        node.device = node.device or _CPU  # fusing depends on it
    kept = [t.name for t in [*graph.outputs, *graph.control_outputs]]
    meta.collection_def["train_op"].node_list.value.extend(kept)
    config = context.context().config
    options = config.graph_options.rewrite_options
    del options.optimizers[:]
    options.optimizers.extend(_OPTIMIZERS)
    options.meta_optimizer_iterations = 1
    try:
        return tf_optimizer.OptimizeGraph(config, meta, verbose=False)
    except Exception:  # a graph that Grappler gives up on is run as it is
        return meta.graph_def


def _only_called(graph: Any) -> Any | None:
    """The graph of the one function that a graph calls, where nothing else in it has to be looked at."""
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


def step_over_a_batch(function: Any) -> Any | None:
    """Keras's traced function over one batch behind a training function; None where there is none."""
    return _traced_functions(function)[1]


def _traced_functions(function: Any) -> tuple[Any, Any]:
    """Keras's two traced functions behind a training function: over an iterator, and over one batch."""
    function = unwrapped(function)
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    cells = getattr(function, "__closure__", None) or ()
    held = {name: cell.cell_contents for name, cell in zip(names, cells, strict=True)}
    several, single = held.get("multi_step_on_iterator"), held.get("one_step_on_data")
    return _if_traced(several), _if_traced(getattr(single, "__wrapped__", single))


def _if_traced(function: Any) -> Any:
    """A `tf.function`, None for another."""
    return function if hasattr(function, "get_concrete_function") else None


def _nodes(graph: Any) -> Iterator[tuple[Any, str]]:
    """The nodes of a graph and of its library, each with the name of the function that it is in."""
    for node in graph.node:
        yield node, ""
    for function in graph.library.function:
        for node in function.node_def:
            yield node, function.signature.name


def _types_of(node: Any) -> set[str]:
    """The names of the data types that a node works on."""
    numbers = []
    for name, value in node.attr.items():
        if name.startswith("_"):
            continue
        kind = value.WhichOneof("value")
        numbers += [value.type] if kind == "type" else list(value.list.type) if kind == "list" else []
    return {tf.dtypes.as_dtype(n).base_dtype.name for n in numbers if n}


def _attributes_of(node: Any) -> Mapping[str, Any]:
    """What of a node's attributes the list of operations looks at: what is fused, what XLA compiles."""
    found: dict[str, Any] = {"device": node.device}
    for name in ("fused_ops", "op_names"):
        if name in node.attr:
            found["fused"] = [s.decode() for s in node.attr[name].list.s]
    found["xla"] = "_XlaMustCompile" in node.attr and node.attr["_XlaMustCompile"].b
    return found


def _makers(graph: Any) -> dict[str, Any]:
    """The traceback of each operation of a graph and of the traced functions that it calls, by name."""
    found: dict[str, Any] = {}
    seen: set[int] = set()

    def visit(one: Any) -> None:
        if id(one) in seen:
            return
        seen.add(id(one))
        for operation in one.get_operations():
            found.setdefault(_own_name(operation.name), operation)
        for inner in _inner_graphs(one):
            visit(inner)

    visit(graph)
    return found


def _inner_graphs(graph: Any) -> Iterable[Any]:
    for function in getattr(graph, "_functions", {}).values():
        inner = getattr(function, "graph", None)
        if inner is not None and hasattr(inner, "get_operations"):
            yield inner


def _own_name(name: str) -> str:
    """A node's name without what inlining and optimizing put before it."""
    parts = name.split("/")
    while parts and parts[0] in ("StatefulPartitionedCall", "PartitionedCall", "ArithmeticOptimizer"):
        parts = parts[1:]
    return "/".join(parts)


def _layer_of(name: str, layers: Mapping[str, str]) -> str:
    """The layer in whose name scope a node is, the innermost; a gradient is its layer's."""
    parts = [p for p in _own_name(name).split("/") if p != "gradient_tape"]
    for end in range(len(parts), 0, -1):
        layer = layers.get("/".join(parts[:end]))
        if layer is not None:
            return layer
    return ""
