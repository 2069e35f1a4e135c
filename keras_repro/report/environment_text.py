"""Describe a recorded environment and its switches in words.

    >>> hardware({"cpu": {"model": "EPYC", "available": 2, "logical": 8}, "memory_bytes": 2**34})
    ['EPYC, 2 of 8 cores', '16.0 GiB memory']
    >>> switch_value(False), switch_value(None)
    ('off', '-')

The ledger may come from an untrusted source: values of any type are accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_repro.utils.untrusted_json import as_mapping, as_mappings

NOT_RECORDED = "not recorded"

_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-macos", "tf-nightly")


def versions(environment: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the versions of Python, TensorFlow and Keras: those that ran, else those installed."""
    python = as_mapping(environment.get("python")).get("version")
    return {
        "Python": None if python is None else str(python),
        "TensorFlow": _framework_version(environment, *_TENSORFLOW),
        "Keras": _framework_version(environment, "keras"),
    }


def versions_text(environment: Mapping[str, Any]) -> str:
    """Return these versions as a text: `"Python 3.13.1, TensorFlow 2.21.0, Keras 3.15.1"`."""
    return ", ".join(f"{name} {version}" for name, version in versions(environment).items() if version)


def _framework_version(environment: Mapping[str, Any], *names: str) -> str | None:
    ran = as_mapping(environment.get("frameworks")).get(names[0])
    return str(ran) if ran else package_version(environment, *names)


def package_version(environment: Mapping[str, Any], *names: str) -> str | None:
    """Return the version of the first of these packages that is installed."""
    packages = as_mapping(environment.get("packages"))
    return next((str(packages[n]) for n in names if packages.get(n)), None)


def gpus(environment: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """Return the GPUs; None if they were not recorded."""
    recorded = environment.get("gpu")
    return as_mappings(recorded) if isinstance(recorded, list) else None


def hardware(environment: Mapping[str, Any]) -> list[str]:
    """Return CPU, memory and GPUs, a text each; empty if none was recorded."""
    texts = []
    cpu = as_mapping(environment.get("cpu"))
    if cpu:
        cores = f"{cpu.get('available', '?')} of {cpu.get('logical', '?')} cores"
        texts.append(f"{cpu.get('model') or 'a CPU without a name'}, {cores}")
    memory = _gibibytes(environment.get("memory_bytes"))
    if memory is not None:
        texts.append(f"{memory:.1f} GiB memory")
    return texts + [_gpu(gpu) for gpu in gpus(environment) or ()]


def gpus_and_drivers(environment: Mapping[str, Any]) -> str | None:
    """Return the GPUs with their drivers, `"none"` without a GPU; None if they were not recorded."""
    recorded = gpus(environment)
    if recorded is None:
        return None
    texts = [f"{_gpu(gpu)}, driver {gpu.get('driver') or NOT_RECORDED}" for gpu in recorded]
    return "; ".join(texts) or "none"


def _gpu(gpu: Mapping[str, Any]) -> str:
    size = _gibibytes(gpu.get("memory_bytes"))
    return f"{gpu.get('model')}" + (f" ({size:.0f} GiB)" if size is not None else "")


def _gibibytes(value: Any) -> float | None:
    return value / 2**30 if isinstance(value, int) and 0 < value < 2**60 else None


def system(environment: Mapping[str, Any]) -> str | None:
    """Return the operating system, its kernel and machine."""
    os = as_mapping(environment.get("os"))
    words = [os.get("version") or os.get("system"), os.get("release"), os.get("machine")]
    return ", ".join(str(w) for w in words if w) or None


def switch_value(value: Any) -> str:
    """Return the requested or effective value of a switch in words."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={switch_value(v)}" for k, v in value.items()) or "defaults"
    return str(value)


def switch_status(ok: bool | None, effective: Any) -> str:
    """Return the status of a switch in a few words.

    Args:
        ok: whether the effective value is the requested one; None if nothing was requested.
        effective: the effective value; None if it cannot be read.
    """
    if ok is not None:
        return "pinned" if ok else "NOT IN EFFECT"
    if effective == "no GPU":
        return "no GPU"
    if effective is None:
        return "not known"
    return "left as it is" if effective in ({}, "the CPU's") else "not pinned"
