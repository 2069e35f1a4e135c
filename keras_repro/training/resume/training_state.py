"""Everything that determines the rest of a training, as named arrays: taken, and put back.

state = TrainingState(model)
arrays, metadata = state.take()
state.put(arrays, metadata)            # in another process, with a model built alike

Beside what the ledger names (weights, other variables, optimizers, seed generators, metric variables) these
are the process's own generators: Python's, NumPy's and TensorFlow's.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_repro.errors import SnapshotError
from keras_repro.storage.plain_values import pack, unpack
from keras_repro.training.backends.active import backend
from keras_repro.training.state.buffers import array_of_value
from keras_repro.training.state.walk import StateTensor, StateWalk

# What may be there in one process and not in the other: made when first asked for.
_OPTIONAL = ("seeds", "metrics")


class TrainingState:
    """The whole state of a model in training.

    Args:
        model: the model.
    """

    def __init__(self, model: Any) -> None:
        self._walk = StateWalk(model)

    def take(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The state as it stands.

        Returns:
            Arrays by name, which share the variables' memory until these are next assigned to; and what is
            no array, as JSON can hold it.
        """
        tensors = self._walk.tensors(full=False)
        values = backend.variables.read_all([t.variable for t in tensors])
        arrays = {_name(t): array_of_value(v) for t, v in zip(tensors, values, strict=True)}
        generators = pack(_generators(), arrays, "generators")
        return arrays, {"generators": generators}

    def missing(self, arrays: Mapping[str, Any]) -> list[str]:
        """Names of the variables that a state holds and the model has not made yet."""
        here = {_name(t) for t in self._walk.tensors()}
        return [n for n in arrays if n.startswith("state/") and n not in here]

    def put(self, arrays: Mapping[str, Any], metadata: Mapping[str, Any], *, whole: bool = True) -> None:
        """Puts a state back.

        Args:
            arrays: as `take` gave them.
            metadata: as `take` gave it.
            whole: whether the model must have all of the state's variables by now.

        Raises:
            SnapshotError: the model has other variables than the state.
        """
        tensors = self._walk.tensors()
        for tensor in tensors:
            name = _name(tensor)
            if name not in arrays:
                if tensor.section in _OPTIONAL:
                    continue
                raise SnapshotError(f"the snapshot holds no {tensor.name}: it is of another model")
            self._assign(tensor, arrays[name])
        lost = [n for n in self.missing(arrays) if n.split("/")[1] not in _OPTIONAL]
        if lost and whole:
            raise SnapshotError(f"the model has no {lost[0].split('/', 2)[2]}, which the snapshot holds")
        _set_generators(unpack(metadata["generators"], arrays))

    def _assign(self, tensor: StateTensor, array: np.ndarray) -> None:
        variable = tensor.variable
        same = variable.shape.is_compatible_with(array.shape) and (
            array.dtype.kind == "O" or variable.dtype.as_numpy_dtype == array.dtype
        )
        if not same:
            raise SnapshotError(
                f"{tensor.name} is {variable.dtype.name}{variable.shape.as_list()} here and "
                f"{array.dtype.name}{list(array.shape)} in the snapshot: it is of another model"
            )
        variable.assign(array, read_value=False)


def _name(tensor: StateTensor) -> str:
    return f"state/{tensor.section}/{tensor.name}"


def _generators() -> dict[str, Any]:
    """The states of the process's own generators. Draws nothing, and makes none."""
    states: dict[str, Any] = {"python": random.getstate()}
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        states["numpy"] = numpy_random.get_state()
    generator = backend.random_state.global_tensorflow_generator()
    if generator is not None:
        states["tensorflow"] = np.asarray(generator.state.numpy())
    eager = backend.random_state.eager_operation_seeds()
    if eager is not None:
        states["eager"] = eager.getstate()
    return states


def _set_generators(states: Mapping[str, Any]) -> None:
    random.setstate(states["python"])
    if "numpy" in states:
        np.random.set_state(states["numpy"])
    generator = backend.random_state.global_tensorflow_generator()
    if generator is not None and "tensorflow" in states:
        generator.state.assign(states["tensorflow"])
    eager = backend.random_state.eager_operation_seeds()
    if eager is not None and "eager" in states:
        eager.setstate(states["eager"])
