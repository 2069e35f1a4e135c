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

from keras_repro.control.runtime import cpu_count
from keras_repro.record.digest import array_digest, content_digest, string_bytes, tensor_digest
from keras_repro.training import keras_api
from keras_repro.training.state import StateTensor

# Bytes of a state, or of a tensor in it.
_WORTH_A_THREAD = 1 << 20
_LARGE = 1 << 16
_HUGE = 1 << 26
_MOST_THREADS = 8
_WITH_BUFFER = {"float32", "int64", "uint32", "float64", "float16", "int32"}


def content_of(variable: Any) -> bytes:
    """The content digest of a variable's present value, 32 bytes.

    Args:
        variable: a `tf.Variable` of any dtype, on any device.
    """
    return content_digest(_buffer_of(keras_api.read_all([variable])[0]))


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
    import tensorflow as tf

    if hasattr(value, "to_numpy"):
        return value.to_numpy()
    if isinstance(value, tf.Tensor | tf.Variable):
        value = np.asarray(_bits(tf.convert_to_tensor(value)))
    return np.asarray(value)


def _contents(variables: list[Any]) -> list[bytes]:
    """Content digests of many variables, read in one call and hashed on all cores where that pays."""
    buffers = [_buffer_of(tensor) for tensor in keras_api.read_all(variables)]
    sizes = [memoryview(b).nbytes for b in buffers]
    helpers = min(cpu_count(), _MOST_THREADS, sum(sizes) // _WORTH_A_THREAD) - 1
    large = [i for i, size in enumerate(sizes) if _LARGE <= size < _HUGE] if helpers > 0 else []
    waiting: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    for index in sorted(large, key=lambda i: -sizes[i]):
        waiting.put(index)
    result: list[bytes | None] = [None] * len(variables)

    def work() -> None:
        while (index := waiting.get()) is not None:
            result[index] = content_digest(buffers[index], parallel=False)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(helpers)]
    for _ in range(len(threads) + 1):
        waiting.put(None)
    for thread in threads:
        thread.start()
    work()
    for thread in threads:
        thread.join()
    # The small ones, the huge ones that keep all cores busy by themselves, and what a thread failed at.
    return [content_digest(b) if c is None else c for b, c in zip(buffers, result, strict=True)]


def _buffer_of(tensor: Any) -> Any:
    """A view of an eager tensor's bytes: a variable's own memory where it lies on the CPU."""
    name = tensor.dtype.name
    if name == "string":
        return string_bytes(tensor.numpy())
    if not tensor.shape.num_elements():
        return b""
    if name not in _WITH_BUFFER:
        tensor = _bits(tensor)
    if isinstance(tensor, np.ndarray):
        return tensor.reshape(-1)
    if "CPU" not in tensor.device:
        return np.ascontiguousarray(tensor.numpy()).reshape(-1).view(np.uint8)
    return memoryview(tensor)


def _numeric(value: Any) -> Any:
    try:
        return np.asarray(value, dtype="<f8")
    except (TypeError, ValueError):
        return np.asarray(str(value))


def _bits(tensor: Any) -> Any:
    """The tensor, or its bits as integers where its dtype has no buffer format: bfloat16, float8, int4."""
    import tensorflow as tf

    if tensor.dtype == tf.bfloat16:
        return tf.bitcast(tensor, tf.uint16)
    if tensor.dtype.name.startswith(("float8", "int4", "uint4")):
        values = np.ascontiguousarray(tensor.numpy())  # no bitcast takes these
        return values.reshape(-1).view(np.uint8).reshape(values.shape)
    return tensor
