"""Name the layers of a model independently of build order, those without variables included.

The names match those of `walk`: the layer `layers/2` has the variable `layers/2/kernel`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras

from keras_repro.training.backends.active import backend
from keras_repro.training.state.value_kinds import ValueClassifier
from keras_repro.training.state.walk import StateTensor, Walk
from keras_repro.training.state.walk_cache import WalkCache


def layer_names(model: Any) -> list[tuple[str, Any]]:
    """Return the layers below a model with their structural names, outer ones first; the first name wins."""
    kind_of = ValueClassifier()
    walk = Walk(kind_of, WalkCache(kind_of.plain))
    walk.visit(model, "")
    return [(path, value) for path, value in walk.seen.values() if path and isinstance(value, keras.Layer)]


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
