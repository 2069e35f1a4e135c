"""Tap one training step: the inputs and outputs of its layers, its loss and its gradients.

A tapped step is the model's own `train_step`, traced again with the tapped tensors as further outputs. Only
tensors of the step's own graph are tapped: those in the body of a loop or a branch belong to another graph.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import keras
import tensorflow as tf

from keras_repro.source_code.call_site import user_call_site
from keras_repro.storage.divergence_report import OperationReport, TapReport
from keras_repro.training.backends.active import backend
from keras_repro.training.graph.host_operations import host_operations
from keras_repro.training.state.layer_names import layer_names
from keras_repro.training.state.walk import model_state
from keras_repro.utils.source_line import SourceLine

# Which tensors are tapped. Taps can change how the graph is optimized: if they change the bits of a step, the
# next level is tried.
LEVELS = ("all", "forward", "gradients")


class TappedStep:
    """A model's training step with taps.

    Args:
        model: a compiled model that has been trained for at least one step.
        level: one of `LEVELS`: `"all"`, only outputs and loss, or only loss and gradients.
        without: last names of variables whose gradients are not tapped, such as `"gamma"`.

    Attributes:
        taps: the tapped tensors in the order of the step, without values.
        operations: the operations that ask the host, draw from a hidden counter or read the clock.
    """

    def __init__(self, model: Any, level: str = "all", *, without: Collection[str] = ()) -> None:
        self.taps: list[TapReport] = []
        self.operations: list[OperationReport] = []
        self._model, self._level, self._without = model, level, without
        self._names = {id(layer): (name, layer) for name, layer in layer_names(model)}
        self._weights = {id(t.variable): t.name for t in model_state(model)}
        self._graph: Any = None
        self._tensors: list[Any] = []
        self._counts: dict[tuple[str, str], int] = {}
        self._spans: list[_Span] = []
        self._function = backend.trainer.make_function(model, self._step)

    def __call__(self, iterator: Any) -> list[Any]:
        """Run the step; return the values of `taps`."""
        result = self._function(iterator)
        return list(result["taps"])

    def _step(self, data: Any) -> dict[str, Any]:
        self.taps, self._tensors, self._counts, self._spans = [], [], {}, []
        self._graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        with self._patched():
            logs = self._model.train_step(data)
        if self._graph is not None:
            self.operations = [self._in_layer(*indexed) for indexed in host_operations(self._graph)]
        return {"logs": logs, "taps": tuple(self._tensors)}  # a list would become one tensor

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        call, gradient, loss = keras.Layer.__call__, tf.GradientTape.gradient, type(self._model).compute_loss

        def layer_call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            known = self._names.get(id(layer))
            begin = self._count()
            if known is not None and self._level == "all":
                self._take("input", known, (args, kwargs), None)
            result = call(layer, *args, **kwargs)
            if known is not None:
                span = _Span(begin, self._count(), known[0], type(layer).__name__)
                self._spans.append(span)
                if self._level != "gradients":
                    self._take("output", known, result, user_call_site(sys._getframe(1)))
            return result

        def tape_gradient(tape: Any, target: Any, sources: Any, *args: Any, **kwargs: Any) -> Any:
            result = gradient(tape, target, sources, *args, **kwargs)
            if self._level == "forward":
                return result
            for source, value in zip(tf.nest.flatten(sources), tf.nest.flatten(result), strict=False):
                name = self._weights.get(id(backend.variables.raw_variable(source)), "")
                if name.rpartition("/")[2] not in self._without:
                    self._take("gradient", (name, None), value, None)
            return result

        def compute_loss(model: Any, *args: Any, **kwargs: Any) -> Any:
            result = loss(model, *args, **kwargs)
            if model is self._model:
                self._take("loss", ("loss", None), result, None)
            return result

        with (
            patch.object(keras.Layer, "__call__", layer_call),
            patch.object(tf.GradientTape, "gradient", tape_gradient),
            patch.object(type(self._model), "compute_loss", compute_loss),
        ):
            yield

    def _count(self) -> int:
        return 0 if self._graph is None else len(self._graph.get_operations())

    def _take(self, kind: str, owner: tuple[str, Any], values: Any, line: SourceLine | None) -> None:
        name, layer = owner
        for value in tf.nest.flatten(values, expand_composites=True):
            if not tf.is_tensor(value) or isinstance(value, tf.Variable):
                continue
            if value.dtype in (tf.resource, tf.variant) or not self._is_ours(value):
                continue
            number = self._counts.get((kind, name), 0)
            self._counts[kind, name] = number + 1
            layer_class = "" if layer is None else type(layer).__name__
            self.taps.append(
                TapReport(kind=kind, name=name, layer_class=layer_class, number=number, source=line)
            )
            self._tensors.append(tf.identity(value))

    def _is_ours(self, value: Any) -> bool:
        if self._graph is None:
            return hasattr(value, "numpy")
        # A tap inside a branch would be an operation of that branch.
        graphs = getattr(value, "graph", None), tf.compat.v1.get_default_graph()
        return all(graph is self._graph for graph in graphs)

    def _in_layer(self, index: int, operation: OperationReport) -> OperationReport:
        """Return an operation with the innermost layer whose call has made it."""
        around = [s for s in self._spans if s.begin <= index < s.end]
        innermost = min(around, key=lambda s: s.end - s.begin, default=None)
        if innermost is None:
            return operation
        return replace(operation, layer=innermost.layer, layer_class=innermost.layer_class)


@dataclass(frozen=True)
class _Span:
    """The operations of a graph, from index `begin` up to `end`, that the call of a layer has made."""

    begin: int
    end: int
    layer: str
    layer_class: str
