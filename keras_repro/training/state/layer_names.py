"""A model's layers by names that do not depend on build order, those without variables too.

The names fit those of `state`: the layer `layers/2` holds the variable `layers/2/kernel`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from keras_repro.training.backends.active import backend
from keras_repro.training.state.walk import StateTensor

_DEEPEST = 50


def layer_names(model: Any) -> list[tuple[str, Any]]:
    """The layers below a model, each with its structural name, outer ones first; the first name wins."""
    import keras

    found: list[tuple[str, Any]] = []
    seen: dict[int, Any] = {}

    def visit(value: Any, path: str, depth: int) -> None:
        if id(value) in seen or depth > _DEEPEST:
            return
        if isinstance(value, keras.Layer):
            seen[id(value)] = value
            if path:
                found.append((path, value))
        elif isinstance(value, dict | list | tuple):
            seen[id(value)] = value
        else:
            return
        for name, child in _children(value):
            visit(child, f"{path}/{name}" if path else name, depth + 1)

    visit(model, "", 0)
    return found


def owners_of(model: Any, tensors: Iterable[StateTensor]) -> dict[str, tuple[str, Any]]:
    """The innermost layer that holds each tensor of a state (also as a seed generator's), with its name."""
    names = layer_names(model)
    holders: dict[int, tuple[int, str, Any]] = {}
    for name, layer in [("", model), *names]:
        held = [backend.variables.raw_variable(v) for v in _held(layer)]
        for variable in held:
            # The innermost is the one that holds the fewest.
            known = holders.get(id(variable))
            if known is None or len(held) < known[0]:
                holders[id(variable)] = len(held), name, layer
    found = {}
    for tensor in tensors:
        holder = holders.get(id(tensor.variable))
        if holder is not None:
            found[tensor.name] = holder[1], holder[2]
            continue
        # Keras does not list a `tf.Variable` or a `tf.random.Generator`: these go by their names.
        around = [(name, layer) for name, layer in names if tensor.name.startswith(f"{name}/")]
        if around:
            found[tensor.name] = max(around, key=lambda named: len(named[0]))
    return found


def _held(layer: Any) -> Iterator[Any]:
    yield from getattr(layer, "variables", ())
    for generator in backend.variables.seed_generators(layer):
        yield generator.state


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from sorted(((str(k), v) for k, v in value.items()), key=lambda item: item[0])
    elif isinstance(value, list | tuple):
        yield from ((str(i), v) for i, v in enumerate(value))
    else:
        if backend.variables.is_graph_of_layers(value):
            yield "layers", list(value.layers)
        held = {n: v for n, v in vars(value).items() if not n.startswith("_self_")}  # TensorFlow's own
        public = [n for n in sorted(held) if not n.startswith("_")]
        private = [n for n in sorted(held) if n.startswith("_") and n != "_layers"]
        for name in [*public, *private, *(n for n in ("_layers",) if n in held)]:
            yield name.strip("_") or name, held[name]
