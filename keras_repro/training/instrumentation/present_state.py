"""The present state of models, in the form of a ledger's records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from keras_repro.determinism.seeds import process_generators
from keras_repro.training.backends.active import backend
from keras_repro.training.state.digests import content_of, digests_of, shape_of
from keras_repro.training.state.initial_values import InitialValues
from keras_repro.training.state.walk import model_state

Digests = dict[str, dict[str, str]]


@dataclass(frozen=True)
class PresentState:
    """The state of some models.

    Attributes:
        tensors: digests by section and name, for the chain.
        latent: digests by group and name that are not part of the chain.
        shapes: results of `shape_of` by the tensor's name.
    """

    tensors: Digests
    latent: Digests
    shapes: dict[str, list[Any]]


@dataclass(frozen=True)
class RecordedModel:
    """A model that a fit or a loop has recorded.

    Attributes:
        reference: returns the model, None if it no longer exists.
        label: the fit or loop, such as `"fit 0"`.
        digests: digests by section and name in the last record of the fit or loop.
    """

    reference: Callable[[], Any]
    label: str
    digests: Digests


def present_state(models: Mapping[str, Any]) -> PresentState:
    """Return the present state of models by name."""
    latent = {"process generators": process_generators()}
    if not models:
        return PresentState({}, latent, {})  # a walk imports Keras, which the script may not use
    state = model_state(models)
    digests = digests_of(state)
    if digests.get("seeds"):
        latent["seeds"] = digests["seeds"]
    tensors = {s: digests[s] for s in ("weights", "optimizer") if digests.get(s)}
    return PresentState(tensors, latent, {t.name: shape_of(t) for t in state})


def exit_state(
    created: Mapping[str, Any],
    recorded: Iterable[RecordedModel],
    optimizers: Iterable[Any],
    initial: InitialValues,
    *,
    only_changed: bool,
) -> PresentState:
    """Return the state at the end of a script.

    Args:
        created: models by name that no fit or loop has recorded.
        recorded: the other models; their changes since the last record are returned.
        optimizers: those that were applied in custom training loops.
        initial: initial values of the variables.
        only_changed: whether variables of `created` with their initial values are latent.
    """
    others = [(model, entry) for entry in recorded if (model := entry.reference()) is not None]
    in_models = [*created.values(), *(model for model, _ in others)]
    models = dict(created) | _variables_without_model(in_models, optimizers)
    state = present_state(models)
    tensors, latent = state.tensors, dict(state.latent)
    if only_changed:
        changed = _changed_names(models, initial)
        for section, digests in tensors.items():
            unchanged = {n: d for n, d in digests.items() if n not in changed}
            if unchanged:
                latent[f"{section} of models that were not trained"] = unchanged
        tensors = {s: {n: d for n, d in digests.items() if n in changed} for s, digests in tensors.items()}
    for model, entry in others:
        for section, digests in present_state({"": model}).tensors.items():
            before = entry.digests.get(section, {})
            tensors[f"{section} after {entry.label}"] = {
                name: digest for name, digest in digests.items() if before.get(name, digest) != digest
            }
    tensors = {section: digests for section, digests in tensors.items() if digests}
    return PresentState(tensors, latent, state.shapes)


def _variables_without_model(models: Iterable[Any], optimizers: Iterable[Any]) -> dict[str, Any]:
    """Return the optimizers of custom training loops with the variables that no model contains."""
    optimizers = list(optimizers)
    if not optimizers:
        return {}
    known = {id(t.variable) for t in model_state({str(i): m for i, m in enumerate(models)})}
    groups: dict[str, Any] = {}
    for optimizer in optimizers:
        trained = backend.variables.trained_variables(optimizer)
        variables = [v for v in trained if id(backend.variables.raw_variable(v)) not in known]
        if variables:
            named = {str(getattr(v, "path", None) or v.name): v for v in variables}
            if len(named) < len(variables):
                named = {str(i): v for i, v in enumerate(variables)}
            # The name is part of the fingerprint.
            groups[f"trained by hand {len(groups)}"] = SimpleNamespace(**named, optimizer=optimizer)
    return groups


def _changed_names(models: Mapping[str, Any], initial: InitialValues) -> set[str]:
    """Return the names of the variables that differ from their initial values, if these are known."""
    return {
        tensor.name
        for tensor in model_state(models)
        if (digest := initial.digest(tensor.variable)) is not None and digest != content_of(tensor.variable)
    }
