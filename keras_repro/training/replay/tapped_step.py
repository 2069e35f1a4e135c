"""What flows through one training step: the layers' inputs and outputs, the loss and the gradients.

A tapped step is the model's own `train_step`, traced once more with its inside as further outputs. Only
tensors of the step's own graph are taken: those of a loop's body or a branch belong to another one.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from keras_repro.source_code.call_site import CallSite, user_call_site
from keras_repro.training.backends.active import backend
from keras_repro.training.graph.host_operations import host_operations
from keras_repro.training.state.layer_names import layer_names
from keras_repro.training.state.walk import model_state

# How much of the inside is taken out; what is taken out can change how the graph is optimized, so that a
# step whose bits that changes is tried again with less.
LEVELS = ("all", "forward", "gradients")


@dataclass(frozen=True)
class Tap:
    """One tensor on the way through the step.

    Attributes:
        kind: `"input"`, `"output"` (of a layer), `"loss"` or `"gradient"`.
        name: the layer's or the variable's structural name.
        layer: the class of the layer, empty for others.
        number: which of several of this kind and name, from 0.
        line: where the user's code made it, if that is known.
    """

    kind: str
    name: str
    layer: str
    number: int
    line: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {"kind": self.kind, "name": self.name, "layer": self.layer, "number": self.number}


@dataclass
class Trace:
    """What the tracing of a tapped step has seen.

    Attributes:
        taps: in the order of the step.
        operations: those that ask the host or draw from a hidden counter: `type`, `layer`, `name`, `source`.
    """

    taps: list[Tap] = field(default_factory=list)
    operations: list[dict[str, Any]] = field(default_factory=list)


class TappedStep:
    """A model's training step whose inside can be looked at.

    Args:
        model: a compiled model that has been trained a step at least.
        level: one of `LEVELS`: `"all"`, or only outputs and loss, or only loss and gradients.
        without: the last names of variables whose gradients stay where they are, such as `"gamma"`.
    """

    def __init__(self, model: Any, level: str = "all", *, without: Collection[str] = ()) -> None:
        self.trace = Trace()
        self._model, self._level, self._without = model, level, without
        self._names = {id(layer): (name, layer) for name, layer in layer_names(model)}
        self._weights = {id(t.variable): t.name for t in model_state(model)}
        self._graph: Any = None
        self._tensors: list[Any] = []
        self._counts: dict[tuple[str, str], int] = {}
        self._spans: list[tuple[int, int, str, str]] = []
        self._function = backend.trainer.make_function(model, self._step)

    def __call__(self, iterator: Any) -> list[Any]:
        """Runs the step; returns the tensors of `trace.taps`."""
        result = self._function(iterator)
        return list(result["taps"])

    def _step(self, data: Any) -> dict[str, Any]:
        self.trace, self._tensors, self._counts, self._spans = Trace(), [], {}, []
        self._graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        with self._patched():
            logs = self._model.train_step(data)
        if self._graph is not None:
            self.trace.operations.extend(self._suspicious())
        return {"logs": logs, "taps": tuple(self._tensors)}  # a list would become one tensor

    @contextlib.contextmanager
    def _patched(self) -> Iterator[None]:
        tapped = self
        call, gradient, loss = keras.Layer.__call__, tf.GradientTape.gradient, type(self._model).compute_loss

        def layer_call(layer: Any, *args: Any, **kwargs: Any) -> Any:
            known = tapped._names.get(id(layer))
            begins = tapped._count()
            if known is not None and tapped._level == "all":
                tapped._take("input", known, (args, kwargs), None)
            result = call(layer, *args, **kwargs)
            if known is not None:
                tapped._spans.append((begins, tapped._count(), known[0], type(layer).__name__))
                if tapped._level != "gradients":
                    tapped._take("output", known, result, user_call_site(sys._getframe(1)))
            return result

        def tape_gradient(tape: Any, target: Any, sources: Any, *args: Any, **kwargs: Any) -> Any:
            result = gradient(tape, target, sources, *args, **kwargs)
            if tapped._level == "forward":
                return result
            for source, one in zip(tf.nest.flatten(sources), tf.nest.flatten(result), strict=False):
                name = tapped._weights.get(id(backend.variables.raw_variable(source)), "")
                if name.rpartition("/")[2] not in tapped._without:
                    tapped._take("gradient", (name, None), one, None)
            return result

        def compute_loss(model: Any, *args: Any, **kwargs: Any) -> Any:
            result = loss(model, *args, **kwargs)
            if model is tapped._model:
                tapped._take("loss", ("loss", None), result, None)
            return result

        owner = type(self._model)
        own = "compute_loss" in vars(owner)
        keras.Layer.__call__ = layer_call
        tf.GradientTape.gradient = tape_gradient
        owner.compute_loss = compute_loss
        try:
            yield
        finally:
            keras.Layer.__call__ = call
            tf.GradientTape.gradient = gradient
            if own:
                owner.compute_loss = loss
            else:
                del owner.compute_loss

    def _count(self) -> int:
        return 0 if self._graph is None else len(self._graph.get_operations())

    def _take(self, kind: str, owner: tuple[str, Any], values: Any, line: CallSite | None) -> None:
        name, layer = owner
        for value in tf.nest.flatten(values, expand_composites=True):
            if not tf.is_tensor(value) or isinstance(value, tf.Variable):
                continue
            if value.dtype in (tf.resource, tf.variant) or not self._is_ours(value):
                continue
            number = self._counts.get((kind, name), 0)
            self._counts[kind, name] = number + 1
            label = "" if layer is None else type(layer).__name__
            self.trace.taps.append(Tap(kind, name, label, number, line.to_dict() if line else None))
            self._tensors.append(tf.identity(value))

    def _is_ours(self, value: Any) -> bool:
        if self._graph is None:
            return hasattr(value, "numpy")
        # What is taken inside of a branch would be an operation of that branch.
        graphs = getattr(value, "graph", None), tf.compat.v1.get_default_graph()
        return all(graph is self._graph for graph in graphs)

    def _suspicious(self) -> Iterator[dict[str, Any]]:
        for operation in host_operations(self._graph):
            layer, kind = self._layer_at(operation.index)
            yield operation.to_dict() | {"layer": layer, "class": kind}

    def _layer_at(self, index: int) -> tuple[str, str]:
        """The innermost layer whose call has made an operation."""
        inside = [s for s in self._spans if s[0] <= index < s[1]]
        best = min(inside, key=lambda s: s[1] - s[0], default=None)
        return ("", "") if best is None else (best[2], best[3])
