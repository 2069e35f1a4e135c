"""Record the call site of each layer, optimizer and tf.data stage, and flag nondeterministic stages.

For a diagnosis: constructors of Keras and `tf.data` have hooks; no argument and no result is changed.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from keras_repro.determinism.operation_catalogue import STATEFUL_RANDOM
from keras_repro.source_code.call_site import frames_from, is_constructing, user_call_site
from keras_repro.source_code.ownership import is_users_file
from keras_repro.storage.divergence_report import LayerDescription, StateEvidence
from keras_repro.storage.trace_file import ConstructionEvent
from keras_repro.training.backends.active import backend
from keras_repro.training.backends.hooks import Call, Steps, add_hook
from keras_repro.training.graph.host_operations import host_operations
from keras_repro.training.probes.line_tracer import LineTracer
from keras_repro.utils.source_line import SourceLine

_STAGES_WITH_FUNCTION = ("map", "flat_map", "filter", "interleave", "scan", "take_while", "reduce")
_SOURCES = {"from_generator": "a Python generator", "random": "random numbers"}
_STAGES = (
    *_STAGES_WITH_FUNCTION,
    *_SOURCES,
    "list_files",
    "sample_from_datasets",
    "shuffle",
    "with_options",
)
_ADAPTED = ("Normalization", "Discretization", "StringLookup", "IntegerLookup", "TextVectorization")


class ConstructionSites:
    """Remember which line constructed which object.

    Args:
        emit: receives an event for each stage of a pipeline, data set and thread.
        lines: the tracer of the user's lines, which also traces Python code in graphs.
    """

    def __init__(self, emit: Callable[[ConstructionEvent], None], lines: LineTracer) -> None:
        self._emit, self._lines = emit, lines
        self._sites: weakref.WeakKeyDictionary[Any, SourceLine] = weakref.WeakKeyDictionary()
        self._inner: weakref.WeakSet[Any] = weakref.WeakSet()
        self._threads: weakref.WeakKeyDictionary[Any, SourceLine] = weakref.WeakKeyDictionary()

    def site_of(self, instance: Any) -> SourceLine | None:
        """Return the line that constructed an object, None if it is not known."""
        try:
            return self._sites.get(instance)
        except TypeError:
            return None

    def is_inner(self, instance: Any) -> bool:
        """Return whether a library constructed an object, such as the dropout in an attention layer."""
        return instance in self._inner

    def evidence(self, model: Any, tensors: Sequence[Any]) -> StateEvidence:
        """Return the owners of a model's tensors, and its layers, with the lines that constructed them.

        Args:
            model: a model, or a dict of layers.
            tensors: the tensors of its state.
        """
        from keras_repro.training.state.layer_names import layer_names, owners_of

        layers = dict(layer_names(model))
        owners: dict[str, LayerDescription] = {}
        for tensor, (name, layer) in owners_of(model, tensors).items():
            # A layer that a library made inside another one is reported as the layer that the user made.
            while self.is_inner(layer) and "/" in name:
                name = name.rpartition("/")[0]
                layer = layers.get(name, layer)
            owners[tensor] = self._description(name, layer)
        optimizer = getattr(model, "optimizer", None)
        if self.site_of(optimizer) is not None:
            owners["optimizer"] = self._description("", optimizer)
        descriptions = {name: self._description(name, layer) for name, layer in layers.items()}
        return StateEvidence(owners=owners, layers=descriptions)

    def running_threads(self) -> list[SourceLine]:
        """Return the lines that constructed the user's threads that are running now."""
        return [line for thread, line in list(self._threads.items()) if thread.is_alive()]

    def watch_keras(self) -> None:
        """Hook the constructors of layers, optimizers, metrics and data sets of Keras."""
        import keras

        for owner in (keras.Layer, keras.Optimizer, keras.metrics.Metric, keras.utils.PyDataset):
            add_hook(owner, "__init__", self._construct)
        for layer in _ADAPTED:
            add_hook(getattr(keras.layers, layer), "adapt", self._adapt)
        add_hook(keras.utils.PyDataset, "workers", self._set_workers)

    def watch_pipelines(self) -> None:
        """Hook the stages of `tf.data`, and find random operations without a seed."""
        import tensorflow as tf

        for name in _STAGES:
            if hasattr(tf.data.Dataset, name):
                add_hook(tf.data.Dataset, name, functools.partial(self._add_stage, name))
        backend.random_state.hook_operation_seeds(self._get_seed)
        # Python code in a graph runs in threads of TensorFlow.
        backend.graphs.hook_python_calls(self._run_on_host)

    def watch_threads(self) -> None:
        """Hook threads. (Python 3.11 has no audit event for them.)"""
        add_hook(threading.Thread, "__init__", self._construct_thread)
        add_hook(threading.Thread, "start", self._start_thread)

    def _description(self, name: str, layer: Any) -> LayerDescription:
        return LayerDescription(
            name=name,
            layer_class=type(layer).__name__,
            source=self.site_of(layer),
            is_inner=self.is_inner(layer),
        )

    def _construct_thread(self, call: Call) -> Steps:
        instance = call.arguments["self"]
        line = user_call_site(call.caller, beyond=instance)
        yield
        if line is not None:
            self._threads[instance] = line

    def _start_thread(self, call: Call) -> None:
        """Report a thread that runs the user's code, or that a pool started for it."""
        instance = call.arguments["self"]
        target = getattr(instance, "_target", None) or type(instance).run
        code = getattr(getattr(target, "__func__", target), "__code__", None)
        module = getattr(target, "__module__", "") or ""
        users = code is not None and is_users_file(code.co_filename)
        if users or module.startswith(("concurrent.futures", "multiprocessing")):
            line = user_call_site(call.caller)
            if line is not None:
                self._emit_risks("thread", self._threads.setdefault(instance, line), ["a thread"])

    def _construct(self, call: Call) -> None:
        instance = call.arguments["self"]
        line = user_call_site(call.caller, beyond=instance)
        if line is not None:
            self._sites[instance] = line
            if not _constructed_by_user(call.caller, instance):
                self._inner.add(instance)
            if "PyDataset" in {k.__name__ for k in type(instance).__mro__}:
                self._emit_workers(call.arguments.get("workers"), line)

    def _adapt(self, call: Call) -> None:
        layer = type(call.arguments["self"]).__name__
        self._emit_risks(f"adapt {layer}", user_call_site(call.caller), [])

    def _set_workers(self, call: Call) -> None:
        _, number = call.arguments.values()  # of a setter
        self._emit_workers(number, user_call_site(call.caller))

    def _emit_workers(self, number: Any, line: SourceLine | None) -> None:
        several = isinstance(number, int) and number > 1
        self._emit_risks("PyDataset", line, [f"{number} workers"] if several else [])

    def _add_stage(self, name: str, call: Call) -> Steps:
        yield
        self._emit_risks(name, user_call_site(call.caller), self._risks(name, call.result, call.arguments))

    def _risks(self, name: str, dataset: Any, arguments: Mapping[str, Any]) -> Iterator[str]:
        if name in _SOURCES:
            yield _SOURCES[name]
        parallel = arguments.get("num_parallel_calls")
        if arguments.get("deterministic") is False:
            yield "an order that is not deterministic"
        if name == "with_options" and dataset.options().deterministic is False:
            yield "an order that is not deterministic"
        if name in _STAGES_WITH_FUNCTION:
            graph = backend.pipelines.graph_of_function(dataset)
            for _, operation in host_operations(graph) if graph is not None else ():
                if operation.type in backend.graphs.ON_HOST:
                    yield "Python code" + (", in parallel" if parallel is not None else "")
                elif operation.type in STATEFUL_RANDOM or not operation.seeded:
                    unseeded = "" if operation.seeded else " without a seed"
                    together = "" if parallel is None else ", in parallel"
                    yield f"a stateful random operation ({operation.type}){unseeded}{together}"

    def _run_on_host(self, call: Call) -> Steps:
        with self._lines.trace_thread():
            yield

    def _get_seed(self, call: Call) -> Steps:
        yield
        if call.result == (None, None):
            self._emit_risks("random operation", user_call_site(call.caller), ["no seed"])

    def _emit_risks(self, what: str, line: SourceLine | None, risks: Iterable[str]) -> None:
        if line is not None:
            self._emit(ConstructionEvent(what=what, source=line, risks=tuple(dict.fromkeys(risks))))


def _constructed_by_user(frame: Any, instance: Any) -> bool:
    """Return whether the frame that calls an object's constructor is the user's."""
    for caller in frames_from(frame):
        code = caller.f_code
        if code.co_name != "__call__" and not is_constructing(caller, instance):
            return is_users_file(code.co_filename)
    return False
