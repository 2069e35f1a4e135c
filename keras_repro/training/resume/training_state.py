"""Capture and restore everything that determines the rest of a training, as named arrays.

state = TrainingState(model, callbacks)
arrays, metadata = state.capture()
state.restore(arrays, metadata)            # in another process, with an equal model

This includes the state in the ledger (weights, other variables, optimizers, seed generators, metric
variables), the global generators of Python, NumPy and TensorFlow, and what the user's code can reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from keras_repro.determinism.seeds import capture_rng_state, restore_rng_state
from keras_repro.errors import SnapshotError
from keras_repro.storage.plain_values import pack, unpack
from keras_repro.training.backends.active import backend
from keras_repro.training.graph.captured import captured_variables
from keras_repro.training.state.buffers import array_of_value
from keras_repro.training.state.walk import StateTensor, StateWalk
from keras_repro.training.user_values.reachable import Reached
from keras_repro.training.user_values.user_values import UserValues

# Variables that may exist in only one of the processes: they are created at first use.
_OPTIONAL = ("seeds", "metrics")
# Variables outside of the model. Those that only a trace finds may be restored when there is one.
_OUTSIDE = ("user", "captured")


class TrainingState:
    """The whole state of a model in training.

    Args:
        model: the model.
        callbacks: the callbacks of the fit.
    """

    def __init__(self, model: Any, callbacks: Sequence[Any] = ()) -> None:
        self._walk = StateWalk(model)
        self._values = UserValues(model, callbacks)
        self._captured: dict[str, tuple[StateTensor, ...]] = {}  # by the traced function
        self._traced: dict[str, tuple[dict[str, Any], Mapping[str, Any]]] = {}  # what each trace saw
        self._pending: dict[str, Any] = {}  # arrays of variables that no trace has found yet

    def reach(self) -> Reached:
        """Return what the code of the user can reach."""
        return self._values.reach()

    @contextmanager
    def tracing(self, function: str) -> Iterator[None]:
        """Trace a function with the values that it had when it was traced first, in whichever process.

        Args:
            function: its name. A trace holds the plain values that the function reads.
        """
        arrays: dict[str, Any] = {}
        now = self._see(arrays, f"traced/{function}")
        seen, seen_arrays = self._traced.setdefault(function, (now, arrays))
        if seen is now:
            yield
            return
        with self._values.restored(seen["values"], seen_arrays):
            _set_generators(seen["generators"], seen_arrays)
            yield
        _set_generators(now["generators"], arrays)

    def trace(self, graph: Any, function: str) -> None:
        """Add the variables that a traced function captures and neither the model nor the code leads to."""
        known = [t for t in self._tensors() if t.section != "captured"]
        prefix = "captured" if function == "train_function" else f"captured/{function}"
        self._captured[function] = captured_variables(graph, known, prefix=prefix)
        for tensor in self._captured[function]:
            if (array := self._pending.pop(_name(tensor), None)) is not None:
                self._assign(tensor, array)

    def capture(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the present state.

        Returns:
            Arrays by name, which share the variables' memory until the next assignment; and the other values,
            for JSON. `user` has `inexact`, what the user's code keeps and a snapshot cannot hold, in words.
        """
        reached = self._values.reach()
        tensors = self._tensors(reached, full=False)
        values = backend.variables.read_all([t.variable for t in tensors])
        arrays = {_name(t): array_of_value(v) for t, v in zip(tensors, values, strict=True)}
        generators = pack(capture_rng_state() | backend.random_state.capture(), arrays, "generators")
        for _, traced in self._traced.values():
            arrays.update(traced)
        return arrays, {
            "generators": generators,
            "user": self._values.capture(reached, arrays, "user"),
            "traced": {function: seen for function, (seen, _) in self._traced.items()},
        }

    def missing(self, arrays: Mapping[str, Any]) -> list[str]:
        """Return names of variables in a state that the model has not created yet."""
        existing = {_name(t) for t in self._tensors()}
        return [n for n in arrays if n.startswith("state/") and n not in existing]

    def restore_traced(self, arrays: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        """Note the values with which the functions were traced; before they are traced again."""
        for function, seen in metadata["traced"].items():
            own = {n: a for n, a in arrays.items() if n.startswith(f"traced/{function}/")}
            self._traced[function] = seen, own

    def restore(
        self, arrays: Mapping[str, Any], metadata: Mapping[str, Any], *, complete: bool = True
    ) -> list[str]:
        """Restore a state.

        Args:
            arrays: from `capture`.
            metadata: from `capture`.
            complete: whether the model must have all variables of the state.

        Returns:
            What of the user's code cannot be restored, in words.

        Raises:
            SnapshotError: the model's variables differ from those of the state.
        """
        for tensor in self._tensors():
            name = _name(tensor)
            if name not in arrays:
                if tensor.section in (*_OPTIONAL, *_OUTSIDE):
                    continue
                raise SnapshotError(f"the snapshot is of another model: it has no {tensor.name}")
            self._assign(tensor, arrays[name])
        problems = list(metadata["user"]["inexact"])
        for name in self.missing(arrays):
            _, section, tensor_name = name.split("/", 2)
            if section == "captured":
                self._pending[name] = arrays[name]
            elif section == "user":
                problems.append(f"{tensor_name} does not exist yet")
            elif section not in _OPTIONAL and complete:
                raise SnapshotError(f"the snapshot is of another model: the model has no {tensor_name}")
        _set_generators(metadata["generators"], arrays)
        problems += [f"{p} cannot be restored" for p in self._values.restore(metadata["user"], arrays)]
        return problems

    def _see(self, arrays: dict[str, Any], prefix: str) -> dict[str, Any]:
        """Return the values of the user's code and the states of the generators."""
        values = self._values.capture(self._values.reach(), arrays, f"{prefix}/values")
        generators = capture_rng_state() | backend.random_state.capture()
        return {"values": values, "generators": pack(generators, arrays, f"{prefix}/generators")}

    def _tensors(self, reached: Reached | None = None, *, full: bool = True) -> list[StateTensor]:
        tensors = list(self._walk.tensors(full=full))
        known = {id(t.variable) for t in tensors}
        for path, value in (reached or self._values.reach()).variables.items():
            variable = backend.variables.raw_variable(getattr(value, "state", value))
            if variable is not None and id(variable) not in known:
                known.add(id(variable))
                tensors.append(StateTensor(path, "user", "", variable))
        return [*tensors, *(t for captured in self._captured.values() for t in captured)]

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


def _set_generators(packed: Any, arrays: Mapping[str, Any]) -> None:
    generators = unpack(packed, arrays)
    restore_rng_state(generators)
    backend.random_state.restore(generators)
