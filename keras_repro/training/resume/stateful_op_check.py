"""Find stateful `tf.random` operations in a training step: they have a counter that no snapshot contains.

    StatefulOpCheck(model, report).install()
    report([Finding(operation="RandomUniform", layer="noise", source="train.py:12", ...)])

The step is checked when it is traced for its first run, before that run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from keras_repro.determinism.operation_catalogue import STATEFUL_RANDOM
from keras_repro.errors import ResumeError
from keras_repro.training.backends.active import backend
from keras_repro.training.backends.train_function import TrainFunctionWrapper
from keras_repro.training.graph.finding import Finding, listed
from keras_repro.training.graph.operation_source import short_path, user_line_of
from keras_repro.training.graph.traced_step import traced_step

_REASON = "it keeps a counter that no snapshot contains"


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
    lines += listed(findings)
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
    for operation in backend.graphs.operations_of(graph):
        if operation.type not in STATEFUL_RANDOM:
            continue
        # If a scope is entered again, its name gets a number: `noise_1`.
        scopes = [(p, re.sub(r"_\d+$", "", p)) for p in reversed(operation.name.split("/")[:-1])]
        layer = next((name for names in scopes for name in names if name in layers), "")
        line = user_line_of(operation)
        source = "" if line is None else f"{short_path(line.file)}:{line.line}"
        finding = Finding(
            operation=operation.type, reason=_REASON, name=operation.name, layer=layer, source=source
        )
        findings.setdefault((operation.type, layer, source), finding)
    return list(findings.values())
