"""The state of a training, read and hashed again and again: fast, for where only change matters.

    reader = StateReader(model)
    reader.digests()             # {"weights": "0f3a...", "optimizer": ..., "seeds": ..., "metrics": ...}
    before = reader.copy()
    model.train_on_batch(x, y)
    reader.restore(before)

The hash is XXH3-128 (Collet, 2019): several times as fast as BLAKE3 on one core, no proof against somebody
who searches for a collision. So it stands in no chain.
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
from keras_repro.training.state.block_hashing import BLOCK, in_blocks
from keras_repro.training.state.buffers import VariableReader, fixed_shape
from keras_repro.training.state.walk import StateTensor, StateWalk, same_tensors

_PART = 1 << 20  # bytes
_IN_PARTS = {"float16", "bfloat16", "float32", "float64", "uint8", "uint32", "int64", "bool"}


@dataclass(frozen=True)
class InFile:
    """A tensor of a copy that lies in a snapshot, which is open.

    Attributes:
        snapshot: the snapshot.
        name: its name there.
    """

    snapshot: Snapshot
    name: str

    def assign_to(self, variable: Any) -> None:
        """Assigns it to a variable; what is read of the file at a time is small where it is on the CPU.

        The value is filled in TensorFlow's own memory and then handed over: writing into the variable's would
        make TensorFlow copy it for each reading from then on.
        """
        dtype, shape = self.snapshot.arrays[self.name]
        if dtype not in _IN_PARTS or "CPU" not in str(getattr(variable, "handle", variable).device):
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
    """The tensors of a state, in the order of a reader's `tensors`: in memory or each `InFile`."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Any]: ...


class StateReader:
    """Reads the complete state of models and optimizers.

    Args:
        models: a model, or a dict of them by name.
        optimizers: those that no model holds: a list, or a dict by name.

    Attributes:
        tensors: the tensors of the state as of the last `refresh`, section by section.
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
        self._reading = VariableReader([t.variable for t in self.tensors])
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
            self._sections.append((section, begin, end, self._begun(range(begin, end))))
        for tensor, view in zip(self.tensors, self._reading.views(), strict=True):
            if tensor.section == "seeds":
                self._first_seeds.setdefault(
                    id(tensor.variable), (tensor.variable, memoryview(view).tobytes())
                )

    def digests(self, *, all_seeds: bool = True) -> dict[str, str]:
        """The digest of each section that has tensors: XXH3-128, 32 hexadecimal digits (docs/ledger.md).

        Args:
            all_seeds: whether seed generators count that have not moved since this reader first saw them.
        """
        tensors = self._reading.tensors()
        views = self._reading.views_of(tensors)
        if self._large:
            for index, digest in in_blocks([(i, views[i]) for i in self._large]):
                views[index] = digest
        result = {}
        for section, begin, end, begun in self._sections:
            held = views[begin:end]
            if begun is None or (section == "seeds" and not all_seeds):
                indices: Sequence[int] = range(begin, end)
                if section == "seeds" and not all_seeds:
                    indices = [i for i in indices if self._moved(i, views[i])]
                held = [views[i] for i in indices]
                hasher = self._begun(indices, tensors)
            else:
                hasher = begun.copy()
            for view in held:
                hasher.update(view)
            if held:
                result[section] = hasher.hexdigest()
        return result

    def tensor_digests(self) -> dict[str, dict[str, str]]:
        """The digest of each tensor, by section and name: XXH3-128, 32 hexadecimal digits."""
        tensors = self._reading.tensors()
        views = self._reading.views_of(tensors)
        result: dict[str, dict[str, str]] = {}
        for index, tensor in enumerate(self.tensors):
            hasher = xxhash.xxh3_128(self._frame(index, tensors))
            hasher.update(views[index])
            result.setdefault(tensor.section, {})[tensor.name] = hasher.hexdigest()
        return result

    def copy(self) -> list[Any]:
        """The present values in the order of `tensors`, for `restore`.

        They share the variables' memory until the next assignment, which then writes to new memory: so this
        is no work, and one copy of what a step changes.
        """
        return self._reading.tensors()

    def restore(self, copy: Copy) -> None:
        """Assigns what `copy` gave.

        Raises:
            ValueError: the copy is of other variables: some were made since.
        """
        if len(copy) != len(self.tensors):
            raise ValueError(
                f"copy must hold the {len(self.tensors)} tensors of this state, received {len(copy)}"
            )
        for variable, value in zip(self._reading.variables, copy, strict=True):
            if isinstance(value, InFile):
                value.assign_to(variable)
            else:
                variable.assign(value, read_value=False)

    def _moved(self, index: int, view: Any) -> bool:
        return memoryview(view).tobytes() != self._first_seeds[id(self.tensors[index].variable)][1]

    def _begun(self, indices: Sequence[int], tensors: Sequence[Any] = ()) -> Any:
        """A hash object that has the frames of some tensors; None where they have to be read first."""
        if not tensors and any(self._frames[i] is None for i in indices):
            return None
        return xxhash.xxh3_128(b"".join(self._frame(i, tensors) for i in indices))

    def _frame(self, index: int, tensors: Sequence[Any]) -> bytes:
        """What a tensor's digest begins with; its shape is that of the value where the variable has none."""
        known = self._frames[index]
        if known is not None:
            return known
        value = tensors[index]
        return tensor_frame(self.tensors[index].name, value.dtype.name, value.shape.as_list())


def _size(tensor: StateTensor) -> int:
    return int(tensor.variable.dtype.size) * math.prod(fixed_shape(tensor.variable) or ())
