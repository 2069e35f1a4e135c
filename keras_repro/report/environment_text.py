"""A recorded environment and its switches in words, for every page that shows them.

    >>> hardware({"cpu": {"model": "EPYC", "available": 2, "logical": 8}, "memory_bytes": 2**34})
    ['EPYC, 2 of 8 cores', '16.0 GiB memory']
    >>> switch_value(False), switch_value(None)
    ('off', '-')

What comes in may be from a ledger that somebody else wrote: any type is met, nothing is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_repro.utils.untrusted_json import as_mapping

NOT_RECORDED = "not recorded"

_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-macos", "tf-nightly")


def part(environment: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """One fact that is a mapping; empty where it was not recorded."""
    return as_mapping(environment.get(name))


def tensorflow_version(environment: Mapping[str, Any]) -> str | None:
    """The TensorFlow that ran, or that is installed."""
    ran = part(environment, "frameworks").get("tensorflow")
    return str(ran) if ran else package_version(environment, *_TENSORFLOW)


def keras_version(environment: Mapping[str, Any]) -> str | None:
    """The Keras that ran, or that is installed."""
    ran = part(environment, "frameworks").get("keras")
    return str(ran) if ran else package_version(environment, "keras")


def package_version(environment: Mapping[str, Any], *names: str) -> str | None:
    """The version of the first of these packages that is installed."""
    packages = part(environment, "packages")
    return next((str(packages[n]) for n in names if packages.get(n)), None)


def gpus(environment: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """The GPUs; None where it was not recorded whether there are any."""
    found = environment.get("gpu")
    if not isinstance(found, list):
        return None
    return [gpu for gpu in found if isinstance(gpu, Mapping)]


def hardware(environment: Mapping[str, Any]) -> list[str]:
    """CPU, memory and GPUs, a text each; empty where none was recorded."""
    texts = []
    cpu = part(environment, "cpu")
    if cpu:
        cores = f"{cpu.get('available', '?')} of {cpu.get('logical', '?')} cores"
        texts.append(f"{cpu.get('model') or 'a CPU without a name'}, {cores}")
    memory = _gibibytes(environment.get("memory_bytes"))
    if memory is not None:
        texts.append(f"{memory:.1f} GiB memory")
    texts += [_gpu(gpu) for gpu in gpus(environment) or ()]
    return texts


def gpus_and_drivers(environment: Mapping[str, Any]) -> str | None:
    """The GPUs with their drivers, `"none"` without a GPU; None where it was not recorded."""
    found = gpus(environment)
    if found is None:
        return None
    each = [f"{_gpu(gpu)}, driver {gpu.get('driver') or NOT_RECORDED}" for gpu in found]
    return "; ".join(each) or "none"


def _gpu(gpu: Mapping[str, Any]) -> str:
    size = _gibibytes(gpu.get("memory_bytes"))
    return f"{gpu.get('model')}" + (f" ({size:.0f} GiB)" if size is not None else "")


def _gibibytes(value: Any) -> float | None:
    return value / 2**30 if isinstance(value, int) and 0 < value < 2**60 else None


def system(environment: Mapping[str, Any]) -> str | None:
    """The operating system, its kernel and machine."""
    facts = part(environment, "os")
    words = [facts.get("version") or facts.get("system"), facts.get("release")]
    return ", ".join(str(w) for w in [*words, facts.get("machine")] if w) or None


def switch_value(value: Any) -> str:
    """What was requested of a switch, or achieved."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={switch_value(v)}" for k, v in value.items()) or "defaults"
    return str(value)


def switch_status(ok: bool | None, requested: Any, achieved: Any) -> str:
    """How a switch stands, in a word or two."""
    if ok is not None:
        return "pinned" if ok else "NOT IN EFFECT"
    if achieved == "no GPU":
        return "no GPU"
    if achieved is None:
        return "not known"
    return "left as it is" if achieved in ({}, "the CPU's") else "not pinned"


def short_number(value: float, digits: int = 3) -> str:
    """A number with a few digits, as people write it: `"0.0123"`, `"1.5e-7"`."""
    mantissa, e, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if e else mantissa
