"""Find the differences of two runs' environments that can change bits: versions, devices, switches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_repro.ledger.schema import switches_in
from keras_repro.utils.untrusted_json import as_mapping

_FRAMEWORKS = {"tensorflow": "TensorFlow", "keras": "Keras"}


def other_versions(a: Mapping[str, Any], b: Mapping[str, Any]) -> str | None:
    """Return the different versions of the frameworks that two runs loaded, in words; None if they are equal.

    Args:
        a: the header of the first run.
        b: the header of the second run.
    """
    left, right = (as_mapping(as_mapping(h.get("environment")).get("frameworks")) for h in (a, b))
    pairs = [
        f"{_FRAMEWORKS[name]} {left[name]!s:.60} and {right[name]!s:.60}"
        for name in _FRAMEWORKS
        if name in left and name in right and left[name] != right[name]
    ]
    return f"other versions: {', '.join(pairs)}" if pairs else None


def environment_differences(
    a: Mapping[str, Any], b: Mapping[str, Any], *, same_script: bool = False
) -> list[str]:
    """Return the differences of two runs' environments that can change bits, one line each.

    Args:
        a: the header of the first run.
        b: the header of the second run.
        same_script: whether `verify` made both: their hash seeds then differ on purpose.
    """
    versions = other_versions(a, b)
    notes = [] if versions is None else [versions]
    environments = a.get("environment") or {}, b.get("environment") or {}
    for name, what in (("cpu", "CPU model"), ("gpu", "GPU")):
        models = [_model_of(e.get(name)) for e in environments]
        if models[0] != models[1]:
            expected = f" ({_expected_across_cpus(a, b)})" if name == "cpu" else ""
            notes.append(f"{what} differs: {models[0]:.60} and {models[1]:.60}{expected}")
    packages = [as_mapping(e.get("packages")) for e in environments]
    for name in ("tensorflow", "tensorflow-cpu", "keras", "numpy") if versions is None else ("numpy",):
        left, right = (p.get(name) for p in packages)
        if left != right:
            notes.append(f"{name} differs: {left or 'none'!s:.60} and {right or 'none'!s:.60}")
    switches = [switches_in(h) for h in (a, b)]
    for name in switches[0]:
        values = [s.get(name, {}).get("achieved") for s in switches]
        on_purpose = same_script and name == "hash_seed"
        if name in switches[1] and values[0] != values[1] and not on_purpose:
            notes.append(f"switch {name:.60} differs: {values[0]!s:.60} and {values[1]!s:.60}")
    return notes


def _expected_across_cpus(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    if all(h.get("determinism") == "portable" for h in (a, b)):
        return "portable runs: expected to be identical"
    return "not expected to be identical: these are not portable runs"


def _model_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("model", "not recorded"))
    if isinstance(value, list):
        return (
            ", ".join(_model_of(v) if isinstance(v, Mapping) and "model" in v else str(v) for v in value)
            or "none"
        )
    return "not recorded" if value is None else str(value)
