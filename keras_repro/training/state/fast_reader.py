"""Read and hash the state of a training again and again, fast, only to detect changes.

    reader = StateReader(model)
    reader.digests()             # {"weights": "0f3a...", "optimizer": ..., "seeds": ..., "metrics": ...}
    before = reader.copy()
    model.train_on_batch(x, y)
    reader.restore(before)

The hash is XXH3-128 (Collet, 2019): several times as fast as BLAKE3 on one core, but not collision-resistant
against an attacker. So it is never part of a chain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import xxhash

from keras_repro.storage.digest import tensor_frame
from keras_repro.storage.snapshot_file import Snapshot
from keras_repro.training.backends.active import backend
from keras_repro.training.state.buffers import VariableReader, fixed_shape
from keras_repro.training.state.hashing_threads import BLOCK, block_digests
from keras_repro.training.state.walk import StateTensor, StateWalk, same_tensors

_PART = 1 << 20  # bytes
_SUPPORTED = {"float16", "bfloat16", "float32", "float64", "uint8", "uint32", "int64", "bool"}


@dataclass(frozen=True)
class InFile:
    """A tensor of a copy whose value is in a snapshot.

    Attributes:
        snapshot: the open snapshot.
        name: the tensor's name in it.
    """

    snapshot: Snapshot
    name: str

    def assign_to(self, variable: Any) -> None:
        """Assign the value to a variable, on the CPU in small parts.

        A new tensor is filled and then assigned: after a write into the variable's own memory, TensorFlow
        would copy it for each reading.
        """
        dtype, shape = self.snapshot.arrays[self.name]
        is_plain = backend.variables.is_plain(variable)
        if dtype not in _SUPPORTED or not is_plain or "CPU" not in str(variable.handle.device):
            variable.assign(self.snapshot.array(self.name), read_value=False)
            return
        value, begin = None, 0
        for part in self.snapshot.parts(self.name, _PART):
            if part.shape == shape:
                value = part
                break
            if value is None:
                value = tf.raw_ops.Empty(shape=shape, dtype=dtype, init=False)
            tf.raw_ops.InplaceUpdate(x=value, i=np.arange(begin, begin + len(part), dtype=np.int32), v=part)
            begin += len(part)
        variable.assign(value, read_value=False)


class Copy(Protocol):
    """The values of a reader's `tensors`, in their order: in memory, or each an `InFile`."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...


class StateReader:
    """Read the complete state of models and optimizers.

    Args:
        models: a model, or a dict of models by name.
        optimizers: optimizers that belong to no model: a list, or a dict by name.

    Attributes:
        tensors: the tensors of the last `refresh`, section by section.
    """

    def __init__(self, models: Any, optimizers: Any = ()) -> None:
        self._walk = StateWalk(models, optimizers)
        self._first_seeds: dict[int, tuple[Any, bytes]] = {}
        self.tensors: tuple[StateTensor, ...] = ()
        self.refresh()

    def refresh(self, *, full: bool = True) -> None:
        """Walk the models again: variables may have been created, replaced or dropped.

        Args:
            full: as for `StateWalk.tensors`.
        """
        self.set_tensors(self._walk.tensors(full=full))

    def set_tensors(self, tensors: Sequence[StateTensor]) -> None:
        """Read these tensors from now on, the result of another walk over the same models."""
        if self.tensors and same_tensors(self.tensors, tensors):
            return
        self.tensors = tuple(tensors)
        self._variables = VariableReader([t.variable for t in self.tensors])
        self._frames = [
            None if shape is None else tensor_frame(t.name, t.variable.dtype.name, shape)
            for t, shape in ((t, fixed_shape(t.variable)) for t in self.tensors)
        ]
        self._large = [
            i
            for i, tensor in enumerate(self.tensors)
            if self._frames[i] is None or _size(tensor) >= BLOCK or tensor.variable.dtype.name == "string"
        ]
        self._sections: list[tuple[str, int, int, Any]] = []
        for section in dict.fromkeys(t.section for t in self.tensors):
            indices = [i for i, t in enumerate(self.tensors) if t.section == section]
            begin, end = indices[0], indices[-1] + 1
            self._sections.append((section, begin, end, self._hasher(range(begin, end))))
        for tensor, view in zip(self.tensors, self._variables.views(), strict=True):
            if tensor.section == "seeds":
                state = memoryview(view).tobytes()
                self._first_seeds.setdefault(id(tensor.variable), (tensor.variable, state))

    def digests(self, *, all_seeds: bool = True) -> dict[str, str]:
        """Return the XXH3-128 digest of each section with tensors: 32 hexadecimal digits (docs/ledger.md).

        Args:
            all_seeds: whether to include seed generators that are unchanged since the first reading.
        """
        tensors = self._variables.tensors()
        views = self._variables.views_of(tensors)
        if self._large:
            for index, digest in block_digests([(i, views[i]) for i in self._large]):
                views[index] = digest
        result = {}
        for section, begin, end, prepared in self._sections:
            parts = views[begin:end]
            if prepared is None or (section == "seeds" and not all_seeds):
                indices: Sequence[int] = range(begin, end)
                if section == "seeds" and not all_seeds:
                    indices = [i for i in indices if self._moved(i, views[i])]
                parts = [views[i] for i in indices]
                hasher = self._hasher(indices, tensors)
            else:
                hasher = prepared.copy()
            for view in parts:
                hasher.update(view)
            if parts:
                result[section] = hasher.hexdigest()
        return result

    def tensor_digests(self) -> dict[str, dict[str, str]]:
        """Return the XXH3-128 digest of each tensor, by section and name: 32 hexadecimal digits."""
        tensors = self._variables.tensors()
        views = self._variables.views_of(tensors)
        result: dict[str, dict[str, str]] = {}
        for index, tensor in enumerate(self.tensors):
            hasher = xxhash.xxh3_128(self._frame(index, tensors))
            hasher.update(views[index])
            result.setdefault(tensor.section, {})[tensor.name] = hasher.hexdigest()
        return result

    def copy(self) -> list[Any]:
        """Return the present values in the order of `tensors`, for `restore`.

        They share the variables' memory until the next assignment, which then writes to new memory.
        """
        return self._variables.tensors()

    def restore(self, copy: Copy) -> None:
        """Assign the result of `copy`.

        Raises:
            ValueError: variables were created since the copy.
        """
        if len(copy) != len(self.tensors):
            raise ValueError(
                f"copy must hold the {len(self.tensors)} tensors of this state, received {len(copy)}"
            )
        for variable, value in zip(self._variables.variables, copy, strict=True):
            if isinstance(value, InFile):
                value.assign_to(variable)
            else:
                variable.assign(value, read_value=False)

    def _moved(self, index: int, view: Any) -> bool:
        return memoryview(view).tobytes() != self._first_seeds[id(self.tensors[index].variable)][1]

    def _hasher(self, indices: Sequence[int], tensors: Sequence[Any] = ()) -> Any:
        """Return a hash object fed with the frames of tensors; None if a frame needs the tensor's value."""
        if not tensors and any(self._frames[i] is None for i in indices):
            return None
        return xxhash.xxh3_128(b"".join(self._frame(i, tensors) for i in indices))

    def _frame(self, index: int, tensors: Sequence[Any]) -> bytes:
        """Return the frame of a tensor, with the shape of its value if the variable's shape is not fixed."""
        frame = self._frames[index]
        if frame is not None:
            return frame
        value = tensors[index]
        return tensor_frame(self.tensors[index].name, value.dtype.name, value.shape.as_list())


def _size(tensor: StateTensor) -> int:
    return int(tensor.variable.dtype.size) * math.prod(fixed_shape(tensor.variable) or ())
