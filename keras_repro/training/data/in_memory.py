"""Tell which data is in memory: only that may be read once more than the script and Keras read it.

>>> import numpy as np
>>> is_in_memory({"x": np.zeros(3), "y": [1.0, 2.0, 3.0]}), is_in_memory(range(3))
(True, False)

An object that reads a file, a network or a cursor may give other data, or none, when it is read again.
"""

from __future__ import annotations

import mmap
import sys
from collections import OrderedDict, defaultdict
from typing import Any

import numpy as np

from keras_repro.training.backends.active import backend

_PLAIN = {bool, int, float, complex, str, bytes, type(None)}
_CONTAINERS = (OrderedDict, defaultdict, dict, list, tuple)
# Arrays of other libraries, if these are loaded.
_OTHER_ARRAYS = (("torch", "Tensor"), ("jax", "Array"))


def is_in_memory(data: Any) -> bool:
    """Return whether data is in memory: arrays, tensors, pandas objects, numbers, and structures of them.

    Nothing is read, and no method of the data's own class is called.
    """
    kind = type(data)
    if kind in _PLAIN or issubclass(kind, np.generic):
        return True
    if issubclass(kind, np.ndarray):
        return data.dtype != object and not _is_mapped(data)
    if issubclass(kind, _CONTAINERS):
        return _has_own_access(kind) and _all_in_memory(data)
    return _is_tensor(data) or _is_of_pandas(data)


def _is_mapped(array: Any) -> bool:
    """Return whether an array, or the one that it is a view of, is mapped from a file."""
    owner = array
    while owner is not None:
        if isinstance(owner, np.memmap | mmap.mmap):
            return True
        owner = owner.obj if isinstance(owner, memoryview) else getattr(owner, "base", None)
    return False


def _has_own_access(kind: type) -> bool:
    """Return whether a container's class reads its items as the built-in class does."""
    base = next(b for b in _CONTAINERS if issubclass(kind, b))
    methods = ("__getitem__", "__iter__", "__len__", *(("items", "values") if issubclass(base, dict) else ()))
    return all(getattr(kind, m) is getattr(base, m) for m in methods)


def _all_in_memory(container: Any) -> bool:
    items = list(container.values() if isinstance(container, dict) else container)
    if set(map(type, items)) <= _PLAIN:  # a list of a million numbers
        return True
    return all(map(is_in_memory, items))


def _is_tensor(value: Any) -> bool:
    import tensorflow as tf

    if isinstance(value, tf.Tensor | tf.Variable) or backend.variables.is_keras_variable(value):
        return True
    others = (getattr(sys.modules.get(module), name, None) for module, name in _OTHER_ARRAYS)
    return any(kind is not None and isinstance(value, kind) for kind in others)


def _is_of_pandas(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    if pandas is None or type(value) not in (pandas.DataFrame, pandas.Series, pandas.Index):
        return False
    dtypes = value.dtypes if isinstance(value, pandas.DataFrame) else [value.dtype]
    # A column of another library may be read from anywhere.
    return all(type(dtype).__module__.partition(".")[0] in ("numpy", "pandas") for dtype in dtypes)
