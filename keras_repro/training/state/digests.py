"""Digests of the tensors of a state, without a copy of their values.

Views of variables are not kept: a view that exists during the next training step makes its assignment copy
the whole tensor.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_repro.storage.digest import (
    array_digest,
    content_digest,
    framed_digest,
    tensor_digest,
    tensor_frame,
)
from keras_repro.training.backends.active import backend
from keras_repro.training.state.buffers import VariableReader, bits_of, bytes_of, fixed_shape
from keras_repro.training.state.hashing_threads import hash_all, thread_count
from keras_repro.training.state.walk import StateTensor

# Bytes.
_WORTH_A_THREAD = 1 << 22  # of a state, for each thread
_LARGE = 1 << 16  # of a tensor that another thread may hash
_HUGE = 1 << 26  # of a tensor that is hashed in several threads


def content_of(variable: Any) -> bytes:
    """Return the content digest of a variable's present value, 32 bytes.

    Args:
        variable: a `tf.Variable` of any dtype, on any device.
    """
    return content_digest(bytes_of(backend.variables.read_all([variable])[0]))


class StateDigests:
    """Compute the digests of the same tensors again and again.

    Args:
        tensors: the tensors, in the order of the result.
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
        self._threads = thread_count(sum(sizes.values()), each=_WORTH_A_THREAD)
        shared = [i for i, size in sizes.items() if self._threads > 1 and _LARGE <= size < _HUGE]
        self._shared = sorted(shared, key=lambda i: -sizes[i])
        # The small ones, and the huge ones, of which each is hashed on all cores.
        self._others = [i for i in sizes if i not in set(shared)]
        self._read_shared, self._read_others = (
            VariableReader([self.tensors[i].variable for i in indices])
            for indices in (self._shared, self._others)
        )

    def digests(self) -> dict[str, dict[str, str]]:
        """Return digests by section and name; each tensor is read once."""
        contents: dict[int, bytes] = {}

        def hash_others() -> None:
            for index, view in zip(self._others, self._read_others.views(), strict=True):
                contents[index] = content_digest(view)

        in_one_thread = functools.partial(content_digest, parallel=False)
        views = self._read_shared.views()
        shared = hash_all(views, in_one_thread, threads=self._threads, meanwhile=hash_others)
        contents.update(zip(self._shared, shared, strict=True))
        digests: dict[str, dict[str, str]] = {}
        for index, tensor in enumerate(self.tensors):
            content = contents.get(index)  # None if its shape is not fixed
            digest = _digest_of(tensor) if content is None else framed_digest(self._frames[index], content)
            digests.setdefault(tensor.section, {})[tensor.name] = digest
        return digests


def digests_of(tensors: Iterable[StateTensor]) -> dict[str, dict[str, str]]:
    """Return the digests of tensors by section and name."""
    return StateDigests(tensors).digests()


def digest_with(tensor: StateTensor, content: bytes) -> str:
    """Return the digest of a tensor, given its content digest."""
    return tensor_digest(tensor.name, _dtype(tensor), tensor.variable.shape.as_list(), content)


def shape_of(tensor: StateTensor) -> list[Any]:
    """Return the dtype, the shape and the Keras name of a tensor, as in a ledger."""
    return [_dtype(tensor), tensor.variable.shape.as_list(), tensor.keras_name]


def log_digests(logs: dict[str, Any]) -> dict[str, str]:
    """Return digests of logs by name; numbers are hashed as 64-bit floats."""
    return {name: array_digest(name, _numeric(value)) for name, value in logs.items()}


def array_of(value: Any) -> Any:
    """Return an array, tensor, variable, pandas object or list as a NumPy array."""
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
