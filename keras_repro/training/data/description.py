"""Describe the data of a training: kind, size and digests, if it is in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_repro.storage.digest import array_digest, rows_digest, section_digest
from keras_repro.training.backends.active import backend
from keras_repro.training.data.in_memory import is_in_memory
from keras_repro.training.state.digests import array_of

_MOST_BYTES = 1 << 32  # hashing more would delay the training


def describe_data(
    x: Any, y: Any = None, sample_weight: Any = None, *, order: str = "keras"
) -> dict[str, Any]:
    """Describe the arguments `x`, `y` and `sample_weight` of `fit`, `evaluate` or `predict`.

    Args:
        x: arrays (also nested), or any other data that Keras accepts; only what is in memory is read.
        y: as for Keras.
        sample_weight: as for Keras.
        order: which package orders arrays: `"keras"` or `"keras_repro"`.

    Returns:
        `kind`, and for arrays in memory `samples`, `digest` (empty above 4 GiB), `rows` (equal for the same
        samples in any order) and `order`. The order of iterators and datasets is `"not ours"`.
    """
    if x is None:
        return {"kind": "none"}
    kind = stream_kind(x)
    if kind is not None:
        return {"kind": kind, "order": "not ours"}
    if not is_in_memory((x, y, sample_weight)):
        return {"kind": type(x).__name__, "order": order}
    named = _flat({"x": x, "y": y, "sample_weight": sample_weight})
    try:
        arrays = {name: array_of(value) for name, value in named.items()}
    except Exception:  # sparse, ragged, or of another framework
        return {"kind": type(x).__name__, "order": order}
    if any(a.ndim == 0 or a.dtype == object for a in arrays.values()):
        return {"kind": type(x).__name__, "order": order}
    samples = {len(a) for a in arrays.values()}
    if sum(a.nbytes for a in arrays.values()) > _MOST_BYTES:
        return {"kind": "arrays", "samples": max(samples), "digest": "", "rows": "", "order": order}
    return {
        "kind": "arrays",
        "samples": max(samples),
        "digest": section_digest({name: array_digest(name, a) for name, a in arrays.items()}),
        "rows": rows_digest(arrays.values()) if len(samples) == 1 else "",
        "order": order,
    }


def output_digests(outputs: Any) -> dict[str, str]:
    """Return digests of a structure of arrays by path, such as the result of `predict`."""
    digests = {}
    for name, value in _flat({"output": outputs}).items():
        try:
            digests[name] = array_digest(name, array_of(value))
        except Exception:  # ragged outputs have no single shape
            digests[name] = array_digest(name, np.asarray(repr(value)))
    return digests


def stream_kind(x: Any) -> str | None:
    """Return the kind of a stream, None for arrays. Draws nothing, and runs none of its code."""
    for kind in type(x).__mro__:
        if (
            kind.__name__ in ("DatasetV2", "Dataset", "DistributedDataset")
            and kind.__module__ != "h5py._hl.dataset"
        ):
            return "tf.data" if "tensorflow" in kind.__module__ else kind.__module__.split(".")[0]
        if kind.__name__ == "PyDataset":
            return "PyDataset"
    if isinstance(x, dict | list | tuple) or backend.data_adapters.is_array_like(x):
        return None
    return "iterator" if hasattr(type(x), "__next__") else type(x).__name__


def validation_parts(validation_data: Any) -> tuple[Any, ...]:
    """Return `(x, y, sample_weight)` of `validation_data`, as many of them as were given."""
    if isinstance(validation_data, tuple | list):
        return tuple(validation_data[:3])
    return (validation_data,)


def is_arrays(validation_data: Any) -> bool:
    """Return whether Keras would treat `validation_data` as arrays."""
    return validation_data is not None and backend.data_adapters.is_array_like(
        *validation_parts(validation_data)
    )


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: str(item[0]))
    elif isinstance(value, tuple) or (isinstance(value, list) and _contains_arrays(value)):
        items = list(enumerate(value))
    else:
        return {path: value}
    result = {}
    for key, item in items:
        result.update(_flat(item, f"{path}/{key}" if path else str(key)))
    return result


def _contains_arrays(value: list[Any]) -> bool:
    return bool(value) and (hasattr(value[0], "shape") or isinstance(value[0], dict | tuple))
