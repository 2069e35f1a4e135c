"""The bytes of the same variables, read again and again without a copy.

    reading = Reading([variable for variable in model.variables])
    for view in reading.views():
        memoryview(view).tobytes()

A view of a variable has to be gone before the next training step, or the step's assignment copies the whole
tensor: nothing here keeps one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_repro.storage.digest import string_bytes
from keras_repro.training.backends.active import backend

_WITH_BUFFER = {"float32", "int64", "uint32", "float64", "float16", "int32"}


class VariableReader:
    """Reads the values of some variables; what does not change from one reading to the next is kept.

    Args:
        variables: `tf.Variable`s of any dtype, on any device.
    """

    def __init__(self, variables: Sequence[Any]) -> None:
        self.variables = tuple(variables)
        self._read = backend.variables.reader(self.variables)
        self._plain = [_is_plain(v) for v in self.variables]
        self._all_plain = all(self._plain)

    def tensors(self) -> list[Any]:
        """The present values as eager tensors, which share the variables' memory where that can be."""
        return self._read()

    def views(self) -> list[Any]:
        """The present values' bytes, little-endian and in C order: objects with a buffer."""
        return self.views_of(self._read())

    def views_of(self, tensors: list[Any]) -> list[Any]:
        """The bytes of what `tensors` gave; an eager tensor is its own view, which spares making one."""
        if self._all_plain:
            return list(tensors)
        return [t if plain else bytes_of(t) for t, plain in zip(tensors, self._plain, strict=True)]


def bytes_of(tensor: Any) -> Any:
    """The bytes of an eager tensor of any dtype, on any device: a view of its memory where that can be."""
    name = tensor.dtype.name
    if name == "string":
        return string_bytes(tensor.numpy())
    if not tensor.shape.num_elements():
        return b""
    if name not in _WITH_BUFFER:
        tensor = bits_of(tensor)
    if isinstance(tensor, np.ndarray):
        return tensor.reshape(-1)
    if "CPU" not in tensor.device:
        return np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8)
    return memoryview(tensor)


def array_of_value(tensor: Any) -> np.ndarray:
    """Return an eager tensor as a NumPy array of its own dtype: a view of its memory if possible."""
    shape = tuple(tensor.shape)
    if tensor.dtype.name == "string":
        return np.asarray(tensor.numpy(), object).reshape(shape)
    buffer = bytes_of(tensor)
    flat = buffer.view("u1") if isinstance(buffer, np.ndarray) else np.frombuffer(buffer, "u1")
    return flat.view(np.dtype(tensor.dtype.as_numpy_dtype)).reshape(shape)


def bits_of(tensor: Any) -> Any:
    """The tensor, or its bits as integers where its dtype has no buffer format: bfloat16, float8, int4."""
    import tensorflow as tf

    if tensor.dtype == tf.bfloat16:
        return tf.bitcast(tensor, tf.uint16)
    if tensor.dtype.name.startswith(("float8", "int4", "uint4")):
        values = np.ascontiguousarray(tensor.numpy())  # no bitcast takes these
        return values.reshape(-1).view(np.uint8).reshape(values.shape)
    return tensor


def fixed_shape(variable: Any) -> tuple[int, ...] | None:
    """A variable's dimensions, None where they may change from one assignment to the next."""
    shape = variable.shape
    return tuple(shape.as_list()) if shape.is_fully_defined() else None


def _is_plain(variable: Any) -> bool:
    """Whether all values that the variable can take have a buffer."""
    shape = fixed_shape(variable)
    if variable.dtype.name not in _WITH_BUFFER or shape is None or 0 in shape:
        return False
    return "CPU" in str(getattr(getattr(variable, "handle", None), "device", ""))
