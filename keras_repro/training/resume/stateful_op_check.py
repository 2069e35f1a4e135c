"""Find stateful `tf.random` operations in a training step: they have a counter that no snapshot contains.

    StatefulOpCheck(model, report).install()
    report([Finding(operation="RandomUniform", layer="noise", source="train.py:12", ...)])

The step is checked when it is traced for its first run, before that run.
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

_REASON = "it keeps a counter that no snapshot contains"
_MOST_SHOWN = 8


class HiddenCounterError(ResumeError):
    """A training step has a state that no snapshot contains."""


class StatefulOpCheck(TrainFunctionWrapper):
    """Wrap model.train_function: check the traced step before its first run, and uninstall.

    Args:
        model: the model, which has its training function.
        report: called with the findings if there are any.
    """

    def __init__(self, model: Any, report: Callable[[Sequence[Finding]], None]) -> None:
        super().__init__(model)
        self._report = report

    def __call__(self, iterator: Any) -> Any:
        concrete, iterator = traced_step(self.function, iterator)
        self.uninstall()
        findings = [] if concrete is None else _find_hidden_counters(concrete.graph, self._layers())
        if findings:
            self._report(findings)
        return self.function(iterator)

    def _layers(self) -> set[str]:
        return {layer.name for layer in backend.trainer.flat_layers(self._model)}


def error_for(model: Any, findings: Sequence[Finding]) -> HiddenCounterError:
    """Return the error that lists the operations."""
    lines = [f"the training step of {model.name!r} cannot be resumed exactly; nothing was trained:"]
    lines += [f"  {f}" for f in findings[:_MOST_SHOWN]]
    if len(findings) > _MOST_SHOWN:
        lines.append(f"  and {len(findings) - _MOST_SHOWN} more")
    lines.append(
        "Use keras.random and a SeedGenerator, or tf.random.stateless_*; or use strict=False to train and "
        "record that a resume may not be exact"
    )
    return HiddenCounterError("\n".join(lines))


def _find_hidden_counters(graph: Any, layers: set[str]) -> list[Finding]:
    """Return the stateful operations of a graph, and of the functions that it calls.

    Args:
        graph: the graph of a traced function.
        layers: names of the model's layers.
    """
    findings: dict[tuple[str, str, str], Finding] = {}
    for operation in _operations(graph):
        if operation.type not in STATEFUL_RANDOM:
            continue
        # If a scope is entered again, its name gets a number: `noise_1`.
        scopes = [(p, re.sub(r"_\d+$", "", p)) for p in reversed(operation.name.split("/")[:-1])]
        layer = next((name for names in scopes for name in names if name in layers), "")
        source = _user_line(operation)
        finding = Finding(
            operation=operation.type, reason=_REASON, name=operation.name, layer=layer, source=source
        )
        findings.setdefault((operation.type, layer, source), finding)
    return list(findings.values())


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


def _user_line(operation: Any) -> str:
    """Return the innermost line of the user's code that makes an operation, as `file:line`; empty if none."""
    users = [f for f in operation.traceback if is_users_file(f.filename)]
    return f"{users[-1].filename.rpartition('/')[2]}:{users[-1].lineno}" if users else ""
