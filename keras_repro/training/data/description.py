"""Describe the data of a training: kind, size and digests, if it is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from keras_repro.storage.digest import array_digest, rows_digest, section_digest
from keras_repro.training.backends.active import backend
from keras_repro.training.data.in_memory import is_in_memory
from keras_repro.training.data.shared_generators import shared_generators, worker_count
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
        samples in any order), `order` and `parts`: a digest for each of `x`, `x['age']`, `y`, ... The order
        of iterators and datasets is `"not ours"`. For a `PyDataset` whose workers share generators, also
        `workers` and `shared_generators`.
    """
    if x is None:
        return {"kind": "none"}
    kind = stream_kind(x)
    if kind is not None:
        shared = shared_generators(x) if kind == "PyDataset" else []
        by_workers = {"workers": worker_count(x), "shared_generators": shared} if shared else {}
        return {"kind": kind, "order": "not ours"} | by_workers
    if not is_in_memory((x, y, sample_weight)):
        return {"kind": type(x).__name__, "order": order}
    parts = list(_parts({"x": x, "y": y, "sample_weight": sample_weight}))
    try:
        arrays = {_path(keys): array_of(value) for keys, value in parts}
    except Exception:  # sparse, ragged, or of another framework
        return {"kind": type(x).__name__, "order": order}
    if any(a.ndim == 0 or a.dtype == object for a in arrays.values()):
        return {"kind": type(x).__name__, "order": order}
    samples = {len(a) for a in arrays.values()}
    if sum(a.nbytes for a in arrays.values()) > _MOST_BYTES:
        return {"kind": "arrays", "samples": max(samples), "digest": "", "rows": "", "order": order}
    digests = {name: array_digest(name, a) for name, a in arrays.items()}
    return {
        "kind": "arrays",
        "samples": max(samples),
        "digest": section_digest(digests),
        "rows": rows_digest(arrays.values()) if len(samples) == 1 else "",
        "order": order,
        "parts": {part_name(keys): digests[_path(keys)] for keys, _ in parts},
    }


def output_digests(outputs: Any) -> dict[str, str]:
    """Return digests of a structure of arrays by path, such as the result of `predict`."""
    digests = {}
    for keys, value in _parts({"output": outputs}):
        name = _path(keys)
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


def part_name(keys: Sequence[Any]) -> str:
    """Return the name of a part as in Python, given the keys that lead to it: `x['age']`."""
    return f"{keys[0]}{''.join(f'[{key!r}]' for key in keys[1:])}"


def _path(keys: Sequence[Any]) -> str:
    return "/".join(map(str, keys))


def _parts(value: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield the parts of a structure, each after the keys that lead to it."""
    if value is None:
        return
    if isinstance(value, dict):
        items = sorted(value.items(), key=lambda item: str(item[0]))
    elif isinstance(value, tuple) or (isinstance(value, list) and _contains_arrays(value)):
        items = list(enumerate(value))
    else:
        yield keys, value
        return
    for key, item in items:
        yield from _parts(item, (*keys, key))


def _contains_arrays(value: list[Any]) -> bool:
    return bool(value) and (hasattr(value[0], "shape") or isinstance(value[0], dict | tuple))
