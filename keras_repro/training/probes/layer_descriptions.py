"""Describe layers for a diagnosis: structural name, class, and the line of the user's code that made them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras_repro.storage.divergence_report import LayerDescription, StateEvidence
from keras_repro.training.probes.construction_sites import ConstructionSites


def state_evidence(sites: ConstructionSites, model: Any, tensors: Sequence[Any]) -> StateEvidence:
    """Return the owners of a model's tensors, and its layers.

    Args:
        sites: the lines that constructed layers and optimizers.
        model: a model, or a dict of layers.
        tensors: the tensors of its state.
    """
    from keras_repro.training.state.layer_names import layer_names, owners_of

    layers = dict(layer_names(model))
    owners: dict[str, LayerDescription] = {}
    for tensor, (name, layer) in owners_of(model, tensors).items():
        # A layer that a library made inside another one is reported as the layer that the user made.
        while sites.is_inner(layer) and "/" in name:
            name = name.rpartition("/")[0]
            layer = layers.get(name, layer)
        owners[tensor] = _description(sites, name, layer)
    optimizer = getattr(model, "optimizer", None)
    if sites.site_of(optimizer) is not None:
        owners["optimizer"] = _description(sites, "", optimizer)
    descriptions = {name: _description(sites, name, layer) for name, layer in layers.items()}
    return StateEvidence(owners=owners, layers=descriptions)


def _description(sites: ConstructionSites, name: str, layer: Any) -> LayerDescription:
    return LayerDescription(
        name=name,
        layer_class=type(layer).__name__,
        source=sites.site_of(layer),
        is_inner=sites.is_inner(layer),
    )
