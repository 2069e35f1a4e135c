"""The bytes of variables, read again and again without a copy.

    reader = VariableReader(model.variables)
    for view in reader.views():
        memoryview(view).tobytes()

Views of variables are not kept: a view that exists during the next training step makes its assignment copy
the whole tensor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_repro.storage.digest import string_bytes
from keras_repro.training.backends.active import backend

_WITH_BUFFER = {"float32", "int64", "uint32", "float64", "float16", "int32"}


class VariableReader:
    """Read the values of the same variables again and again.

    Args:
        variables: `tf.Variable`s of any dtype, on any device.
    """

    def __init__(self, variables: Sequence[Any]) -> None:
        self.variables = tuple(variables)
        self._read = backend.variables.reader(self.variables)
        self._plain = [_is_plain(v) for v in self.variables]
        self._all_plain = all(self._plain)

    def tensors(self) -> list[Any]:
        """Return the present values as eager tensors, which share the variables' memory if possible."""
        return self._read()

    def views(self) -> list[Any]:
        """Return objects whose buffers are the present values: little-endian, in C order."""
        return self.views_of(self._read())

    def views_of(self, tensors: list[Any]) -> list[Any]:
        """Return the views of the result of `tensors`. An eager tensor is its own view if possible."""
        if self._all_plain:
            return list(tensors)
        return [t if plain else bytes_of(t) for t, plain in zip(tensors, self._plain, strict=True)]


def bytes_of(tensor: Any) -> Any:
    """Return the bytes of an eager tensor of any dtype, on any device: a view of its memory if possible."""
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
    """Return a tensor, as integers if its dtype has no buffer format: bfloat16, float8, int4."""
    import tensorflow as tf

    if tensor.dtype == tf.bfloat16:
        return tf.bitcast(tensor, tf.uint16)
    if tensor.dtype.name.startswith(("float8", "int4", "uint4")):
        values = np.ascontiguousarray(tensor.numpy())  # tf.bitcast supports none of these
        return values.reshape(-1).view(np.uint8).reshape(values.shape)
    return tensor


def fixed_shape(variable: Any) -> tuple[int, ...] | None:
    """Return a variable's dimensions, None if they may change between assignments."""
    shape = variable.shape
    return tuple(shape.as_list()) if shape.is_fully_defined() else None


def _is_plain(variable: Any) -> bool:
    """Return whether every value of the variable has a buffer."""
    shape = fixed_shape(variable)
    if variable.dtype.name not in _WITH_BUFFER or shape is None or 0 in shape:
        return False
    return backend.variables.is_plain(variable) and "CPU" in str(variable.handle.device)
