"""Capture and restore everything that determines the rest of a training, as named arrays.

state = TrainingState(model)
arrays, metadata = state.capture()
state.restore(arrays, metadata)            # in another process, with an equal model

This includes the state in the ledger (weights, other variables, optimizers, seed generators, metric
variables) and the global generators of Python, NumPy and TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_repro.determinism.seeds import capture_rng_state, restore_rng_state
from keras_repro.errors import SnapshotError
from keras_repro.storage.plain_values import pack, unpack
from keras_repro.training.backends.active import backend
from keras_repro.training.graph.captured import captured_variables
from keras_repro.training.state.buffers import array_of_value
from keras_repro.training.state.walk import StateTensor, StateWalk

# Variables that may exist in only one of the processes: they are created at first use.
_OPTIONAL = ("seeds", "metrics")


class TrainingState:
    """The whole state of a model in training.

    Args:
        model: the model.
    """

    def __init__(self, model: Any) -> None:
        self._walk = StateWalk(model)
        self._captured: tuple[StateTensor, ...] = ()

    def trace(self, graph: Any) -> None:
        """Add the variables that a traced step captures and no model tracks."""
        self._captured = captured_variables(graph, self._walk.tensors())

    def capture(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the present state.

        Returns:
            Arrays by name, which share the variables' memory until the next assignment; and the other values,
            for JSON.
        """
        tensors = [*self._walk.tensors(full=False), *self._captured]
        values = backend.variables.read_all([t.variable for t in tensors])
        arrays = {_name(t): array_of_value(v) for t, v in zip(tensors, values, strict=True)}
        generators = pack(capture_rng_state() | backend.random_state.capture(), arrays, "generators")
        return arrays, {"generators": generators}

    def missing(self, arrays: Mapping[str, Any]) -> list[str]:
        """Return names of variables in a state that the model has not created yet."""
        existing = {_name(t) for t in self._tensors()}
        return [n for n in arrays if n.startswith("state/") and n not in existing]

    def restore(
        self, arrays: Mapping[str, Any], metadata: Mapping[str, Any], *, complete: bool = True
    ) -> None:
        """Restore a state.

        Args:
            arrays: from `capture`.
            metadata: from `capture`.
            complete: whether the model must have all variables of the state.

        Raises:
            SnapshotError: the model's variables differ from those of the state.
        """
        for tensor in self._tensors():
            name = _name(tensor)
            if name not in arrays:
                if tensor.section in _OPTIONAL:
                    continue
                raise SnapshotError(f"the snapshot is of another model: it has no {tensor.name}")
            self._assign(tensor, arrays[name])
        missing = [n for n in self.missing(arrays) if n.split("/")[1] not in _OPTIONAL]
        if missing and complete:
            raise SnapshotError(
                f"the snapshot is of another model: the model has no {missing[0].split('/', 2)[2]}"
            )
        generators = unpack(metadata["generators"], arrays)
        restore_rng_state(generators)
        backend.random_state.restore(generators)

    def _tensors(self) -> list[StateTensor]:
        return [*self._walk.tensors(), *self._captured]

    def _assign(self, tensor: StateTensor, array: np.ndarray) -> None:
        variable = tensor.variable
        same = variable.shape.is_compatible_with(array.shape) and (
            array.dtype.kind == "O" or variable.dtype.as_numpy_dtype == array.dtype
        )
        if not same:
            snapshot = f"{array.dtype.name}{list(array.shape)}"
            model = f"{variable.dtype.name}{variable.shape.as_list()}"
            raise SnapshotError(
                f"the snapshot is of another model: {tensor.name} is {snapshot} in the snapshot, {model} "
                "in the model"
            )
        variable.assign(array, read_value=False)


def _name(tensor: StateTensor) -> str:
    return f"state/{tensor.section}/{tensor.name}"
