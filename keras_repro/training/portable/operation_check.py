"""Find the operations of a traced step that are not known to be portable.

    concrete, iterator = traced_step(model.train_function, iterator)
    find_unportable_operations(concrete, layers={"sequential_1/dense_1": "dense"})

The graph is searched as the runtime optimizes it, with the functions in its library. Nothing is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import tensorflow as tf

from keras_repro.determinism.operation_catalogue import MOVING, why_not_portable
from keras_repro.determinism.portable_pins import GRAPH_OPTIMIZER
from keras_repro.training.backends.active import backend
from keras_repro.training.graph.finding import Finding
from keras_repro.training.graph.operation_source import source_of_operation


def find_unportable_operations(
    concrete: Any, *, layers: Mapping[str, str], graph: Any = None
) -> tuple[Finding, ...]:
    """Search a concrete function for what is not known to be portable.

    Args:
        concrete: as `traced_step` returned it.
        graph: its optimized graph, if it is at hand.
        layers: the layer's name of each name scope.
    """
    findings = {("", f.reason, "", ""): f for f in _findings_of_process()}
    makers: dict[str, Any] = {}
    graph = backend.graph_optimizer.optimized_graph(concrete) if graph is None else graph
    for node, inside in backend.graphs.nodes_of(graph):
        if node.op in MOVING and "_XlaMustCompile" not in node.attr and "GPU" not in node.device:
            continue
        reason = why_not_portable(node.op, _types_of(node), _attributes_of(node))
        if reason is None:
            continue
        makers = makers or _operations_by_name(concrete.graph)
        maker = makers.get(_own_name(node.name)) or makers.get(_own_name(inside))
        source = "" if maker is None else source_of_operation(maker)
        layer = _layer_of(node.name, layers) or _layer_of(inside, layers)
        key = node.op, reason, layer, source
        before = findings.get(key)
        findings[key] = Finding(
            operation=node.op,
            reason=reason,
            name=node.name if before is None else before.name,
            layer=layer,
            source=source,
            count=1 if before is None else before.count + 1,
        )
    return tuple(findings.values())


def _findings_of_process() -> Iterator[Finding]:
    """Yield the settings of this process that make another graph than the one that is searched."""
    if tf.config.list_physical_devices("GPU"):
        yield Finding(operation="GPU", reason="a GPU takes part: hide it with CUDA_VISIBLE_DEVICES=-1")
    for name in backend.graph_optimizer.options_on(GRAPH_OPTIMIZER):
        reason = f"the program has turned the graph optimizer's {name} on again"
        yield Finding(operation="graph optimizer", reason=reason)


def _types_of(node: Any) -> set[str]:
    """Return the names of the data types that a node works on."""
    numbers = []
    for name, value in node.attr.items():
        if name.startswith("_"):
            continue
        kind = value.WhichOneof("value")
        numbers += [value.type] if kind == "type" else list(value.list.type) if kind == "list" else []
    return {tf.dtypes.as_dtype(n).base_dtype.name for n in numbers if n}


def _attributes_of(node: Any) -> Mapping[str, Any]:
    """Return the attributes that the catalogue asks for: the device, what is fused, what XLA compiles."""
    attributes: dict[str, Any] = {"device": node.device}
    for name in ("fused_ops", "op_names"):
        if name in node.attr:
            attributes["fused"] = [s.decode() for s in node.attr[name].list.s]
    attributes["xla"] = "_XlaMustCompile" in node.attr and node.attr["_XlaMustCompile"].b
    return attributes


def _operations_by_name(graph: Any) -> dict[str, Any]:
    """Return the operations of a graph and of what it calls; the outermost of a name wins."""
    operations: dict[str, Any] = {}
    for operation in backend.graphs.operations_of(graph):
        operations.setdefault(_own_name(operation.name), operation)
    return operations


def _own_name(name: str) -> str:
    """Return a node's name without the prefixes of inlining and optimizing."""
    parts = name.split("/")
    while parts and parts[0] in ("StatefulPartitionedCall", "PartitionedCall", "ArithmeticOptimizer"):
        parts = parts[1:]
    return "/".join(parts)


def _layer_of(name: str, layers: Mapping[str, str]) -> str:
    """Return the innermost layer in whose name scope a node is; a gradient is its layer's."""
    parts = [p for p in _own_name(name).split("/") if p != "gradient_tape"]
    scopes = ("/".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((layers[scope] for scope in scopes if scope in layers), "")
