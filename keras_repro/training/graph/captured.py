"""What a traced step takes from outside its graph.

captured_variables(concrete.graph, model_state(model))     # tensors `captured/0`, ..., which no model tracks
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from keras_repro.training.backends.active import backend
from keras_repro.training.state.walk import StateTensor


def captured_variables(
    graph: Any, known: Iterable[StateTensor], *, prefix: str = "captured"
) -> tuple[StateTensor, ...]:
    """Return the variables that a traced step captures and no model tracks.

    A loss function may read a variable of its module, for example. The names are numbers in the order of the
    trace, since such a variable has no other name that is equal in every process.

    Args:
        graph: the graph of the traced step.
        known: the variables of the model's state.
        prefix: of the names.
    """
    tracked = {id(handle) for tensor in known for handle in backend.graphs.handles_of(tensor.variable)}
    variables = [
        backend.graphs.variable_of(handle)
        for handle, kind, _ in backend.graphs.captured_resources(graph)
        if kind == backend.graphs.VARIABLE and id(handle) not in tracked
    ]
    return tuple(
        StateTensor(f"{prefix}/{number}", "captured", str(variable.name).partition(":")[0], variable)
        for number, variable in enumerate(variables)
    )
