"""The configuration of a training: layers and optimizer in plain values, without names that contain counters.

Only `get_config` of Keras's own classes is called: observing must not run the user's code. For other classes
the class name is recorded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from keras_repro.storage.digest import array_digest
from keras_repro.training.backends.active import backend

_LARGEST = 1 << 18  # bytes of JSON; a larger configuration is recorded by its digest
_DROPPED = {"name", "build_config", "module", "registered_name", "shared_object_id"}


def model_configuration(model: Any) -> dict[str, Any]:
    """Return the configuration of a model.

    Returns:
        `model` (class name), `layers` (a list of `[class, settings]`), `optimizer` (`[class, settings]`).
    """
    layers = [[type(layer).__name__, _settings(layer)] for layer in backend.trainer.flat_layers(model)]
    optimizer = getattr(model, "optimizer", None)
    return {
        "model": type(model).__name__,
        "layers": _bounded(layers),
        "optimizer": None if optimizer is None else [type(optimizer).__name__, _settings(optimizer)],
        "loss": _plain(getattr(model, "loss", None)),
        "jit_compile": bool(getattr(model, "jit_compile", False)),
        "run_eagerly": bool(getattr(model, "run_eagerly", False)),
        "steps_per_execution": _count(getattr(model, "steps_per_execution", 1) or 1),
    }


def _count(value: Any) -> Any:
    """Return a number of steps; a value such as `"auto"` as it is."""
    return int(value) if hasattr(value, "__int__") else _plain(value)


def _settings(value: Any) -> dict[str, Any]:
    if not type(value).__module__.startswith(("keras.", "keras_")):
        return {}
    if hasattr(value, "layers"):
        return {}  # its layers are listed separately
    try:
        settings = value.get_config()
    except Exception:  # a layer of Keras may contain an object of the user without configuration
        return {"not recorded": True}
    return {k: _plain(v) for k, v in settings.items() if k not in _DROPPED}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        if value.get("class_name") == "__lambda__":
            return "<lambda>"  # its code contains the script's path, and differs between processes
        if value.get("class_name") == "DTypePolicy":
            return value.get("config", {}).get("name")  # without a counter: `mixed_bfloat16`
        return {str(k): _plain(v) for k, v in value.items() if k not in _DROPPED}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return array_digest("", value)
    return getattr(value, "__qualname__", type(value).__name__)


def _bounded(value: Any) -> Any:
    text = json.dumps(value, sort_keys=True)
    return value if len(text) <= _LARGEST else {"digest": array_digest("", text)}
