"""A variable's bytes without a copy, and its digest.

A view of a variable has to be gone before the next training step, or the step's assignment copies the whole
tensor: nothing here keeps one.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_repro.control.runtime import cpu_count
from keras_repro.record.digest import array_digest, content_digest, string_bytes, tensor_digest
from keras_repro.training import keras_api
from keras_repro.training.state import StateTensor

# Bytes of a state, or of a tensor in it.
_WORTH_THREADS = 1 << 22
_LARGE = 1 << 16
_HUGE = 1 << 26  # one of these keeps all cores busy by itself
_MOST_THREADS = 8
_WITH_BUFFER = {"float32", "int64", "uint32", "float64", "float16", "int32"}


def content_of(variable: Any) -> bytes:
    """The content digest of a variable's present value, 32 bytes.

    Args:
        variable: a `tf.Variable` of any dtype, on any device.
    """
    return content_digest(_buffer_of(variable))


def digests_of(tensors: Iterable[StateTensor]) -> dict[str, dict[str, str]]:
    """Digests by section and name, each tensor read once; large states are hashed on all cores."""
    listed = list(tensors)
    contents = _contents([t.variable for t in listed])
    result: dict[str, dict[str, str]] = {}
    for tensor, content in zip(listed, contents, strict=True):
        result.setdefault(tensor.section, {})[tensor.name] = digest_with(tensor, content)
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


def _contents(variables: list[Any]) -> list[bytes]:
    """Content digests of many variables.

    Reading a variable needs Python, hashing a large one does not: while this thread reads, others hash.
    """
    sizes = [v.dtype.size * (v.shape.num_elements() or 0) for v in variables]
    if sum(sizes) < _WORTH_THREADS:
        return [content_of(v) for v in variables]
    result: list[bytes | None] = [None] * len(variables)
    waiting: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()

    def work() -> None:
        while (item := waiting.get()) is not None:
            result[item[0]] = content_digest(item[1], parallel=False)

    helpers = min(cpu_count(), _MOST_THREADS) - 1
    threads = [threading.Thread(target=work, daemon=True) for _ in range(helpers)]
    for thread in threads:
        thread.start()
    for index in sorted(range(len(variables)), key=lambda i: -sizes[i]):
        if sizes[index] >= _HUGE or not threads:
            result[index] = content_of(variables[index])
        elif sizes[index] >= _LARGE:
            waiting.put((index, _buffer_of(variables[index])))
        else:
            result[index] = content_digest(_buffer_of(variables[index]), parallel=False)
    for _ in range(helpers + 1):
        waiting.put(None)
    work()
    for thread in threads:
        thread.join()
    # A thread that failed has left its tensor out; here it fails for all to see.
    return [content_of(v) if c is None else c for v, c in zip(variables, result, strict=True)]


def _buffer_of(variable: Any) -> Any:
    """A view of a variable's bytes: its own memory where it lies on the CPU."""
    tensor = keras_api.read(variable)
    name = tensor.dtype.name
    if name == "string":
        return string_bytes(tensor.numpy())
    if not tensor.shape.num_elements():
        return b""
    if name not in _WITH_BUFFER:
        tensor = _bits(tensor)
    if "CPU" not in tensor.device:
        return np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8)
    return memoryview(tensor)


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
