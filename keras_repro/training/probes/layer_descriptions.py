"""Describe layers for a diagnosis: structural name, class, and the line of the user's code that made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_repro.training.probes.construction_sites import ConstructionSites


def describe_owners(sites: ConstructionSites, model: Any, tensors: Sequence[Any]) -> dict[str, Any]:
    """Return the owner of each tensor of a model by the tensor's name; the optimizer is `"optimizer"`."""
    from keras_repro.training.state.layer_names import layer_names, owners_of

    owners: dict[str, Any] = {}
    layers = dict(layer_names(model))
    for name, (path, layer) in owners_of(model, tensors).items():
        # A layer that a library made inside another one is reported as the layer that the user made.
        while sites.is_inner(layer) and "/" in path:
            path = path.rpartition("/")[0]
            layer = layers.get(path, layer)
        owners[name] = {"layer": path, **_made(sites, layer)}
    optimizer = getattr(model, "optimizer", None)
    if sites.site_of(optimizer) is not None:
        owners["optimizer"] = {"layer": "", **_made(sites, optimizer)}
    return owners


def describe_layers(sites: ConstructionSites, model: Any) -> dict[str, Any]:
    """Return a description of each layer of a model by its structural name."""
    from keras_repro.training.state.layer_names import layer_names

    return {
        name: {**_made(sites, layer), "inner": sites.is_inner(layer)} for name, layer in layer_names(model)
    }


def _made(sites: ConstructionSites, made: Any) -> dict[str, Any]:
    line = sites.site_of(made)
    return {"class": type(made).__name__, "source": None if line is None else line.to_dict()}
