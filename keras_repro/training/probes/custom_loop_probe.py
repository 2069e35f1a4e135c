"""Record the steps of custom training loops.

A step ends when `Optimizer.apply` returns, or the `tf.function` whose graph contains it. The step's batch is
the arguments of that function. Without one, it is the arguments of the functions that called layers since the
last step, or else of the layers. The step's state is that of the called layers and of the optimizer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from keras_repro.determinism.seeds import capture_rng_state
from keras_repro.storage.divergence_report import ReplayReport, StateEvidence, TappedReport
from keras_repro.storage.trace_file import BatchEvent, StepBeginEvent, StepEndEvent, StepPosition
from keras_repro.training.backends.active import backend
from keras_repro.training.backends.hooks import Call, Steps, add_hook
from keras_repro.training.data.batch_digests import batch_digests, row_digests
from keras_repro.training.graph.host_operations import host_operations
from keras_repro.training.probes.train_step_probe import checked_sections
from keras_repro.training.replay.replay import repeat
from keras_repro.training.state.fast_reader import StateReader

if TYPE_CHECKING:
    from keras_repro.training.probes.event_log import EventLog

_MAX_CALLS = 16  # calls in one step whose inputs are recorded
_MAX_LAYERS = 64
_MAX_FUNCTIONS = 256  # a script may create new ones without end


class CustomLoopProbe:
    """Report the steps of custom training loops.

    Args:
        log: receives the events.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._layers: dict[int, Any] = {}
        self._optimizers: dict[int, Any] = {}
        self._layer_inputs: list[Any] = []  # since the last step
        self._function_inputs: list[Any] = []  # of functions that call layers, since the last step
        self._threads: set[int] = set()  # running ones that made steps, or called functions for them
        self._layer_depth = 0
        self._in_function = False
        self._applied = False
        self._calls_layers = False
        self._functions: dict[int, _Function] = {}
        self._reader: StateReader | None = None
        self._reader_covers = (0, 0)  # numbers of layers and optimizers
        self._steps = 0
        self._steps_begun = 0
        self._last: dict[str, dict[str, str]] = {}

    def install(self) -> None:
        """Hook the calls of layers, optimizers and functions of TensorFlow."""
        add_hook(keras.Layer, "__call__", self._call_layer)
        add_hook(keras.Optimizer, "apply", self._apply)
        backend.graphs.hook_function_calls(self._call_function)

    def _is_recording(self) -> bool:
        return self._log.active and not self._log.keras_depth

    def _call_layer(self, call: Call) -> Steps:
        if self._layer_depth or not self._is_recording():
            yield
            return
        instance, *inputs_given = call.arguments.values()
        inputs = _arrays(inputs_given)
        if inputs and len(self._layers) < _MAX_LAYERS:
            self._layers.setdefault(id(instance), instance)
        if inputs and tf.executing_eagerly() and not self._in_function:
            self._check_begin()
            if len(self._layer_inputs) < _MAX_CALLS:
                self._layer_inputs.append(inputs)
        self._calls_layers = True
        self._layer_depth += 1
        try:
            yield
        finally:
            self._layer_depth -= 1

    def _apply(self, call: Call) -> Steps:
        if self._is_recording() and tf.executing_eagerly():
            self._add_thread()
        yield
        if self._is_recording():
            instance = call.arguments["self"]
            self._optimizers.setdefault(id(instance), instance)
            self._applied = True
            if tf.executing_eagerly() and not self._in_function:
                batches = self._function_inputs or [self._layer_inputs]
                self._layer_inputs, self._function_inputs = [], []
                self._check_end(batches)

    def _call_function(self, call: Call) -> Steps:
        instance = call.arguments["self"]
        args, kwargs = call.arguments.get("args", ()), call.arguments.get("kwds", {})
        known = self._functions.get(id(instance))
        skips = not known.calls_layers if known is not None else len(self._functions) >= _MAX_FUNCTIONS
        if self._in_function or skips or not tf.executing_eagerly() or not self._is_recording():
            yield
            return
        if known is not None:
            self._check_begin()
            if not known.trains:
                self._add_function_inputs(args, kwargs)
                yield
                return
        self._in_function, self._applied, self._calls_layers = True, bool(known), bool(known)
        before, generators = {}, capture_rng_state()
        if self._log.needs_copies:
            before = {id(v): tf.identity(v) for v in self._log.variables.variables()}
        try:
            with self._log.variables.storing_initial_values(before):
                yield
        finally:
            self._in_function = False
        self._functions[id(instance)] = _Function(
            instance, self._applied, self._calls_layers or self._applied
        )
        if self._calls_layers and not self._applied:
            self._add_function_inputs(args, kwargs)
        if self._applied and self._log.active:
            self._layer_inputs, self._function_inputs = [], []

            def replay() -> ReplayReport | None:
                return self._replay(before, generators, instance, args, kwargs)

            self._check_end([[args, kwargs]], replay)

    def _add_function_inputs(self, args: Any, kwargs: Any) -> None:
        if self._steps:
            self._add_thread()
        if len(self._function_inputs) < _MAX_CALLS:
            self._function_inputs.append(_arrays((args, kwargs)))

    def _add_thread(self) -> None:
        running = {thread.ident for thread in threading.enumerate()}
        self._threads = (self._threads & running) | {threading.get_ident()}

    def _check_begin(self) -> None:
        """Check the state at the start of a step: the script may have changed it since the last step."""
        if self._reader is None or self._steps_begun == self._steps:
            return
        self._steps_begun = self._steps
        self._last = self._current_reader().tensor_digests()
        self._log.check(
            StepBeginEvent(position=self._position(self._steps), tensors=checked_sections(self._last)),
            evidence=self._evidence,
        )

    def _check_end(self, batches: list[Any], replay: Callable[[], ReplayReport | None] | None = None) -> None:
        """Check the state at the end of a step.

        Args:
            batches: what went into the step, call by call.
            replay: replays the step; None if that is not possible.
        """
        log, position = self._log, self._position(self._steps)
        self._steps += 1
        reader = self._current_reader()
        with contextlib.suppress(Exception):  # inputs that are no batch of samples have no digests
            rows = tuple(row for batch in batches for row in row_digests(_arrays(batch)))
            parts = batch_digests(_arrays(batches))
            log.note(BatchEvent(position=position, parts=parts, rows=rows, threads=len(self._threads)))
        after = reader.tensor_digests()
        tensors = checked_sections(after) | self._changed_seeds(reader, after)
        self._last = after

        def evidence() -> StateEvidence:
            flat = tf.nest.flatten(batches)
            return replace(
                self._evidence(),
                draws_data=any(isinstance(v, tf.data.Dataset | tf.data.Iterator) for v in flat),
                replay=replay() if replay is not None and log.replays else None,
            )

        log.check(StepEndEvent(position=position, tensors=tensors), evidence=evidence)

    def _position(self, step: int) -> StepPosition:
        return StepPosition(-1, 0, step)

    def _evidence(self) -> StateEvidence:
        threads = len(self._threads)
        return replace(
            self._log.sites.evidence(self._root(), self._current_reader().tensors),
            stepping_threads=threads if threads > 1 else 0,
        )

    def _changed_seeds(
        self, reader: StateReader, after: Mapping[str, Mapping[str, str]]
    ) -> dict[str, dict[str, str]]:
        """Return the seed generators that the step has drawn from; if known, also as before it."""
        before = self._last.get("seeds", {})
        changed: dict[str, str] = {}
        for tensor in reader.tensors:
            if tensor.section == "seeds":
                new, old = after["seeds"][tensor.name], before.get(tensor.name)
                if old not in (None, new):
                    changed |= {tensor.name: new, f"{tensor.name} before": str(old)}
                elif old is None and self._log.variables.has_moved(tensor.variable):
                    changed[tensor.name] = new
        return {"seeds": changed} if changed else {}

    def _root(self) -> Any:
        """Return the layers that were called by name, or the only one, whose names are its own."""
        layers = list(self._layers.values())
        return layers[0] if len(layers) == 1 else {f"layers/{i}": layer for i, layer in enumerate(layers)}

    def _current_reader(self) -> StateReader:
        covers = len(self._layers), len(self._optimizers)
        if self._reader is None or self._reader_covers != covers:
            self._reader_covers = covers
            self._reader = StateReader(self._root(), list(self._optimizers.values()))
        else:
            self._reader.refresh(full=False)
        return self._reader

    def _replay(
        self,
        before: Mapping[int, Any],
        generators: Mapping[str, Any],
        function: Any,
        args: Any,
        kwargs: Any,
    ) -> ReplayReport | None:
        reader = self._current_reader()
        if not all(id(t.variable) in before for t in reader.tensors):
            return None
        state = [before[id(t.variable)] for t in reader.tensors]
        report = repeat(lambda: function(*args, **kwargs), reader, state, generators, reader.tensor_digests())
        with contextlib.suppress(Exception):  # some functions cannot be traced again
            graph = function.get_concrete_function(*args, **kwargs).graph
            operations = tuple(operation for _, operation in host_operations(graph))
            report = replace(report, tapped=TappedReport(operations=operations))
        return report


@dataclass(frozen=True)
class _Function:
    """A `tf.function` that was called: whether it trains, and whether it calls layers at all."""

    function: Any  # kept alive, since its id is its key
    trains: bool
    calls_layers: bool


def _arrays(values: Any) -> list[Any]:
    """Return the tensors and arrays among the arguments of a function; variables are no data."""
    flat = tf.nest.flatten(values)
    arrays = [v for v in flat if tf.is_tensor(v) or isinstance(v, np.ndarray | np.generic)]
    return [v for v in arrays if not isinstance(v, tf.Variable | keras.Variable)]
