"""A variable's bytes without a copy, and its digest.

A view of a variable has to be gone before the next training step, or the step's assignment copies the whole
tensor: nothing here keeps one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_repro.record.digest import array_digest, content_digest, string_content, tensor_digest
from keras_repro.training.state import StateTensor


def content_of(variable: Any) -> bytes:
    """The content digest of a variable's present value, 32 bytes.

    Args:
        variable: a `tf.Variable` of any dtype, on any device.
    """
    tensor = variable.read_value()
    if not isinstance(tensor, tf.Tensor):
        tensor = tf.convert_to_tensor(tensor)
    if tensor.dtype == tf.string:
        return string_content(tensor.numpy())
    if not tensor.shape.num_elements():
        return content_digest(b"")
    if "CPU" not in tensor.device:
        return content_digest(np.ascontiguousarray(_bits(tensor).numpy()).view(np.uint8))
    # On the CPU the buffer of an eager tensor is the variable's own memory.
    return content_digest(memoryview(_bits(tensor)))


def digests_of(tensors: Iterable[StateTensor]) -> dict[str, dict[str, str]]:
    """Digests by section and name, each tensor read once."""
    result: dict[str, dict[str, str]] = {}
    for tensor in tensors:
        digest = digest_with(tensor, content_of(tensor.variable))
        result.setdefault(tensor.section, {})[tensor.name] = digest
    return result


def digest_with(tensor: StateTensor, content: bytes) -> str:
    """The digest of a tensor whose bytes are hashed already."""
    variable = tensor.variable
    return tensor_digest(tensor.name, variable.dtype.name, variable.shape.as_list(), content)


def shape_of(tensor: StateTensor) -> list[Any]:
    """What a ledger says of a tensor once: dtype, shape and the name that Keras gives it."""
    variable = tensor.variable
    return [variable.dtype.name, variable.shape.as_list(), tensor.keras_name]


def log_digests(logs: dict[str, Any]) -> dict[str, str]:
    """Digests of logs by name, numbers as 64-bit floats (a float32 fits without loss)."""
    return {name: array_digest(name, _numeric(value)) for name, value in logs.items()}


def array_of(value: Any) -> Any:
    """A NumPy array of an array-like value: array, tensor, variable, pandas object, list."""
    if hasattr(value, "to_numpy"):
        return value.to_numpy()
    if isinstance(value, tf.Tensor | tf.Variable):
        value = _bits(tf.convert_to_tensor(value)).numpy()
    return np.asarray(value)


def _numeric(value: Any) -> Any:
    try:
        return np.asarray(value, dtype="<f8")
    except (TypeError, ValueError):
        return np.asarray(str(value))


def _bits(tensor: Any) -> Any:
    """The tensor, or its bits as integers where its dtype has no buffer format."""
    if tensor.dtype == tf.bfloat16:
        return tf.bitcast(tensor, tf.uint16)
    if tensor.dtype.name.startswith("float8"):
        return tf.bitcast(tensor, tf.uint8)
    return tensor
