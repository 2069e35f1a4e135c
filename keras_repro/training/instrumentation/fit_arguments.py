"""Describe the arguments of a call of `Model.fit` for the `fit` record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from keras_repro.training.backends.active import backend
from keras_repro.training.data.description import describe_data, validation_parts

_RECORDED = ("batch_size", "initial_epoch", "steps_per_epoch", "validation_split", "shuffle")


def describe_fit(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields `data`, `validation_data`, `arguments` and `frozen_shuffle`, if they apply.

    Args:
        arguments: arguments of `Model.fit` by name.
    """
    data = describe_inputs(arguments)
    details: dict[str, Any] = {"data": data}
    validation = arguments.get("validation_data")
    if validation is not None:
        details["validation_data"] = describe_data(*validation_parts(validation))
    chosen = {n: v for n in _RECORDED if isinstance(v := arguments.get(n), int | float | str)}
    details["arguments"] = chosen | {"epochs_requested": int(arguments.get("epochs") or 1)}
    steps = arguments.get("steps_per_epoch") or _steps_of_arrays(data, chosen)
    if steps:
        details["arguments"]["steps_requested"] = int(steps)
    is_seeded = backend.random_state.seeds_set()["tensorflow"] is not None
    if is_seeded and shuffles_arrays(details):
        details["frozen_shuffle"] = True
    return details


def shuffles_arrays(details: Mapping[str, Any]) -> bool:
    """Return whether Keras shuffles arrays in a fit, given what `describe_fit` returned."""
    data, arguments = details.get("data", {}), details.get("arguments", {})
    of_keras = data.get("kind") == "arrays" and data.get("order") == "keras"
    return of_keras and bool(arguments.get("shuffle", True))


def describe_inputs(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description of `x`, `y` and `sample_weight`, given the arguments of a method by name."""
    return describe_data(*(arguments.get(name) for name in ("x", "y", "sample_weight")))


def _steps_of_arrays(data: Mapping[str, Any], arguments: Mapping[str, Any]) -> int | None:
    """Return the steps of one pass over arrays, as Keras counts them; None for other data."""
    if "samples" not in data:
        return None
    samples = math.floor(data["samples"] * (1.0 - float(arguments.get("validation_split", 0.0))))
    return -(-samples // int(arguments.get("batch_size") or 32))
