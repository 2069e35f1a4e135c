"""A variable's bytes without a copy, and its digest.

A view of a variable has to be gone before the next training step, or the step's assignment copies the whole
tensor: nothing here keeps one.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_repro.determinism.tf_runtime import cpu_count
from keras_repro.storage.digest import (
    array_digest,
    content_digest,
    framed_digest,
    tensor_digest,
    tensor_frame,
)
from keras_repro.training.backends.active import backend
from keras_repro.training.state.buffers import VariableReader, bits_of, bytes_of, fixed_shape
from keras_repro.training.state.walk import StateTensor

# Bytes of a state for each thread, and of a tensor that is worth handing to one.
_WORTH_A_THREAD = 1 << 22
_LARGE = 1 << 16
_HUGE = 1 << 26
_MOST_THREADS = 8


def content_of(variable: Any) -> bytes:
    """The content digest of a variable's present value, 32 bytes.

    Args:
        variable: a `tf.Variable` of any dtype, on any device.
    """
    return content_digest(bytes_of(backend.variables.read_all([variable])[0]))


class StateDigests:
    """Takes the digests of the same tensors again and again; what does not change is worked out once.

    Args:
        tensors: the tensors, in the order in which they shall stand.
    """

    def __init__(self, tensors: Iterable[StateTensor]) -> None:
        self.tensors = tuple(tensors)
        shapes = [fixed_shape(t.variable) for t in self.tensors]
        self._frames = [
            b"" if shape is None else tensor_frame(t.name, _dtype(t), shape)
            for t, shape in zip(self.tensors, shapes, strict=True)
        ]
        sizes = {
            i: math.prod(shape) * self.tensors[i].variable.dtype.size
            for i, shape in enumerate(shapes)
            if shape is not None
        }
        self._helpers = max(0, min(cpu_count(), _MOST_THREADS, sum(sizes.values()) // _WORTH_A_THREAD) - 1)
        shared = [i for i, size in sizes.items() if self._helpers and _LARGE <= size < _HUGE]
        self._shared = sorted(shared, key=lambda i: -sizes[i])
        # The small ones, and the huge ones that keep all cores busy by themselves.
        self._others = [i for i in sizes if i not in set(shared)]
        self._read_shared, self._read_others = (
            VariableReader([self.tensors[i].variable for i in part]) for part in (self._shared, self._others)
        )

    def digests(self) -> dict[str, dict[str, str]]:
        """Digests by section and name, each tensor read once; large states are hashed on all cores."""
        result: list[str | None] = [None] * len(self.tensors)
        waiting = deque(zip(self._shared, self._read_shared.views(), strict=True))

        def work() -> None:
            with contextlib.suppress(IndexError):
                while True:
                    index, view = waiting.popleft()
                    content = content_digest(view, parallel=False)
                    result[index] = framed_digest(self._frames[index], content)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(self._helpers)]
        for thread in threads:
            thread.start()
        for index, view in zip(self._others, self._read_others.views(), strict=True):
            result[index] = framed_digest(self._frames[index], content_digest(view))
        work()
        for thread in threads:
            thread.join()
        digests: dict[str, dict[str, str]] = {}
        for tensor, digest in zip(self.tensors, result, strict=True):
            # None: its shape is not fixed, or a thread failed at it.
            digests.setdefault(tensor.section, {})[tensor.name] = digest or _digest_of(tensor)
        return digests


def digests_of(tensors: Iterable[StateTensor]) -> dict[str, dict[str, str]]:
    """Digests by section and name of tensors that are looked at once."""
    return StateDigests(tensors).digests()


def digest_with(tensor: StateTensor, content: bytes) -> str:
    """The digest of a tensor whose bytes are hashed already."""
    return tensor_digest(tensor.name, _dtype(tensor), tensor.variable.shape.as_list(), content)


def shape_of(tensor: StateTensor) -> list[Any]:
    """What a ledger says of a tensor once: dtype, shape and the name that Keras gives it."""
    return [_dtype(tensor), tensor.variable.shape.as_list(), tensor.keras_name]


def log_digests(logs: dict[str, Any]) -> dict[str, str]:
    """Digests of logs by name, numbers as 64-bit floats (a float32 fits without loss)."""
    return {name: array_digest(name, _numeric(value)) for name, value in logs.items()}


def array_of(value: Any) -> Any:
    """A NumPy array of an array-like value: array, tensor, variable, pandas object, list."""
    import tensorflow as tf

    if hasattr(value, "to_numpy"):
        return value.to_numpy()
    if isinstance(value, tf.Tensor | tf.Variable):
        value = np.asarray(bits_of(tf.convert_to_tensor(value)))
    return np.asarray(value)


def _digest_of(tensor: StateTensor) -> str:
    value = backend.variables.read_all([tensor.variable])[0]
    return tensor_digest(tensor.name, _dtype(tensor), value.shape.as_list(), content_digest(bytes_of(value)))


def _dtype(tensor: StateTensor) -> str:
    return str(tensor.variable.dtype.name)


def _numeric(value: Any) -> Any:
    try:
        return np.asarray(value, dtype="<f8")
    except (TypeError, ValueError):
        return np.asarray(str(value))
