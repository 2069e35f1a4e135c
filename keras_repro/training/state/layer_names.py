"""Name the layers of a model independently of build order, those without variables included.

The names match those of `walk`: the layer `layers/2` has the variable `layers/2/kernel`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from keras_repro.training.backends.active import backend
from keras_repro.training.state.value_kinds import (
    ValueClassifier,
    attributes,
    by_key,
    items_of,
    own_method,
)
from keras_repro.training.state.walk import StateTensor

_DEEPEST = 50


def layer_names(model: Any) -> list[tuple[str, Any]]:
    """Return the layers below a model with their structural names, outer ones first; the first name wins."""
    import keras

    layers: list[tuple[str, Any]] = []
    kind_of = ValueClassifier()
    seen: dict[int, Any] = {}

    def visit(value: Any, path: str, depth: int) -> None:
        if id(value) in seen or depth > _DEEPEST:
            return
        if isinstance(value, keras.Layer):
            seen[id(value)] = value
            if path:
                layers.append((path, value))
        elif isinstance(value, dict | list | tuple):
            seen[id(value)] = value
        else:
            return
        for name, child in _children(value, kind_of):
            visit(child, f"{path}/{name}" if path else name, depth + 1)

    visit(model, "", 0)
    return layers


def owners_of(model: Any, tensors: Iterable[StateTensor]) -> dict[str, tuple[str, Any]]:
    """Return the name and the innermost layer that has each tensor of a state, by the tensor's name."""
    names = layer_names(model)
    holders: dict[int, tuple[int, str, Any]] = {}
    for name, layer in [("", model), *names]:
        variables = [backend.variables.raw_variable(v) for v in _own_variables(layer)]
        for variable in variables:
            # The innermost layer has the fewest variables.
            known = holders.get(id(variable))
            if known is None or len(variables) < known[0]:
                holders[id(variable)] = len(variables), name, layer
    owners = {}
    for tensor in tensors:
        holder = holders.get(id(tensor.variable))
        if holder is not None:
            owners[tensor.name] = holder[1], holder[2]
            continue
        # Keras does not list a `tf.Variable` or a `tf.random.Generator`: their names tell the layer.
        around = [(name, layer) for name, layer in names if tensor.name.startswith(f"{name}/")]
        if around:
            owners[tensor.name] = max(around, key=lambda named: len(named[0]))
    return owners


def _own_variables(layer: Any) -> Iterator[Any]:
    yield from getattr(layer, "variables", ())
    for generator in backend.variables.seed_generators(layer):
        yield generator.state


def _children(value: Any, kind_of: ValueClassifier) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from by_key(items_of(own_method(value, dict, "items")))
    elif isinstance(value, list | tuple):
        yield from ((str(i), v) for i, v in enumerate(value))
    else:
        if backend.variables.is_graph_of_layers(value):
            yield "layers", list(value.layers)
        yield from attributes(value, kind_of)
