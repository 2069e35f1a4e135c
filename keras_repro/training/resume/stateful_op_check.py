"""Operations of a training step that keep a counter which no snapshot holds: stateful `tf.random` operations.

    StatefulOpCheck(model, tell).install()
    tell([Finding(operation="RandomUniform", layer="noise", source="train.py:12", ...)])

The step is looked at when it is traced for its first run, before that run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from keras_repro.determinism.operation_catalogue import STATEFUL_RANDOM
from keras_repro.errors import ResumeError
from keras_repro.source_code.call_site import is_users_file
from keras_repro.training.backends.active import backend
from keras_repro.training.backends.train_function import TrainFunctionWrapper
from keras_repro.training.portable.operation_check import Finding, traced_step

_REASON = "it keeps a counter that no snapshot holds"
_MOST_SAID = 8


class HiddenCounterError(ResumeError):
    """A training step keeps what no snapshot holds."""


class StatefulOpCheck(TrainFunctionWrapper):
    """A model's training function that is looked at before its first step, and then leaves its place.

    Args:
        model: the model, which has its training function.
        tell: is given what was found, where something was.
    """

    def __init__(self, model: Any, tell: Callable[[Sequence[Finding]], None]) -> None:
        super().__init__(model)
        self._tell = tell

    def __call__(self, iterator: Any) -> Any:
        concrete, iterator = traced_step(self.function, iterator)
        self.uninstall()
        found = [] if concrete is None else search(concrete.graph, self._layers())
        if found:
            self._tell(found)
        return self.function(iterator)

    def _layers(self) -> set[str]:
        return {layer.name for layer in backend.trainer.flat_layers(self._model)}


def search(graph: Any, layers: set[str]) -> list[Finding]:
    """The operations of a graph, and of the functions that it calls, that keep a counter.

    Args:
        graph: of a traced function.
        layers: names of the model's layers.
    """
    found: dict[tuple[str, str, str], Finding] = {}
    for operation in _operations(graph):
        if operation.type not in STATEFUL_RANDOM:
            continue
        # A scope that is entered again gets a number: `noise_1`.
        scopes = [(p, re.sub(r"_\d+$", "", p)) for p in reversed(operation.name.split("/")[:-1])]
        layer = next((name for both in scopes for name in both if name in layers), "")
        key = operation.type, layer, _line_of(operation)
        found.setdefault(
            key,
            Finding(operation=key[0], reason=_REASON, name=operation.name, layer=layer, source=key[2]),
        )
    return list(found.values())


def complaint(model: Any, found: Sequence[Finding]) -> HiddenCounterError:
    """The error that says so."""
    lines = [f"  {f}" for f in found[:_MOST_SAID]]
    if len(found) > _MOST_SAID:
        lines.append(f"  and {len(found) - _MOST_SAID} more")
    return HiddenCounterError(
        "\n".join(
            [
                f"the training step of {model.name!r} cannot be resumed exactly; nothing was trained:",
                *lines,
                "draw with keras.random and a SeedGenerator, or with tf.random.stateless_*; or have it "
                "recorded as not exact: strict=False",
            ]
        )
    )


def _operations(graph: Any, seen: set[int] | None = None) -> Iterator[Any]:
    seen = set() if seen is None else seen
    if id(graph) in seen:
        return
    seen.add(id(graph))
    yield from graph.get_operations()
    for function in getattr(graph, "_functions", {}).values():
        inner = getattr(function, "graph", None)
        if hasattr(inner, "get_operations"):
            yield from _operations(inner, seen)


def _line_of(operation: Any) -> str:
    """The innermost line of the user's that makes an operation, as `file:line`; empty where there is none."""
    users = [f for f in operation.traceback if is_users_file(f.filename)]
    return f"{users[-1].filename.rpartition('/')[2]}:{users[-1].lineno}" if users else ""
