"""The steps of a training loop that is written by hand, for a diagnosis: where an optimizer is applied.

A step ends where `Optimizer.apply` returns, or the `tf.function` in whose graph it stands. What went in are
the arguments of that function, or of those that have called the layers since the last step, or what the
layers were called with. The state is that of the layers that were called, and of the optimizer.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf
import wrapt

from keras_repro.determinism.seeds import capture_rng_state
from keras_repro.storage.trace_file import Event
from keras_repro.training.backends.active import backend
from keras_repro.training.data.batch_digests import batch_digests, row_digests
from keras_repro.training.graph.host_operations import host_operations
from keras_repro.training.probes.layer_descriptions import describe_layers, describe_owners
from keras_repro.training.replay.replay import repeated
from keras_repro.training.state.fast_reader import StateReader

if TYPE_CHECKING:
    from keras_repro.training.probes.event_log import EventLog

_MOST_CALLS = 16  # of layers in one step whose inputs are looked at
_MOST_LAYERS = 64
_MOST_FUNCTIONS = 256  # a script may make them anew again and again
_HARD_SECTIONS = ("weights", "optimizer")


class CustomLoopProbe:
    """Tells a probe of the steps of loops by hand.

    Args:
        log: receives the events.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._layers: dict[int, Any] = {}
        self._optimizers: dict[int, Any] = {}
        self._fed: list[Any] = []  # what layers were called with
        self._given: list[Any] = []  # what functions were called with that call layers
        self._threads: set[int] = set()  # those that have made steps, and called functions for them
        self._depth = 0
        self._in_function = False
        self._applied = False
        self._calls_layers = False
        self._known: dict[int, _Known] = {}  # functions that were called
        self._reader: StateReader | None = None
        self._of: tuple[int, int] = (0, 0)
        self._steps = 0
        self._begun = 0
        self._last: dict[str, dict[str, str]] = {}

    def install(self) -> None:
        """Begins with layers, optimizers and functions of TensorFlow."""
        wrapt.wrap_function_wrapper(keras.Layer, "__call__", self._called)
        wrapt.wrap_function_wrapper(keras.Optimizer, "apply", self._apply)
        backend.graphs.wrap_function_calls(self._function)

    def _looks(self) -> bool:
        return self._log.active and not self._log.inside_keras

    def _called(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        if self._depth or not self._looks():
            return wrapped(*args, **kwargs)
        held = _arrays((args, kwargs))
        if held and len(self._layers) < _MOST_LAYERS:
            self._layers.setdefault(id(instance), instance)
        if held and tf.executing_eagerly() and not self._in_function:
            self._begins()
            if len(self._fed) < _MOST_CALLS:
                self._fed.append(held)
        self._calls_layers = True
        self._depth += 1
        try:
            return wrapped(*args, **kwargs)
        finally:
            self._depth -= 1

    def _apply(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        if self._looks() and tf.executing_eagerly():
            self._threads.add(threading.get_ident())
        result = wrapped(*args, **kwargs)
        if self._looks():
            self._optimizers.setdefault(id(instance), instance)
            self._applied = True
            if tf.executing_eagerly() and not self._in_function:
                fed, self._fed = self._fed, []
                given, self._given = self._given, []
                self._ended(given or [fed], None)
        return result

    def _function(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        known = self._known.get(id(instance))
        skips = not known.calls_layers if known is not None else len(self._known) >= _MOST_FUNCTIONS
        if self._in_function or skips or not tf.executing_eagerly() or not self._looks():
            return wrapped(*args, **kwargs)
        if known is not None:
            self._begins()
            if not known.trains:
                self._give(args, kwargs)
                return wrapped(*args, **kwargs)
        self._in_function, self._applied, self._calls_layers = True, bool(known), bool(known)
        before, generators = self._copy(), capture_rng_state()
        try:
            with self._log.variables.storing_initial_values(before):
                result = wrapped(*args, **kwargs)
        finally:
            self._in_function = False
        self._known[id(instance)] = _Known(instance, self._applied, self._calls_layers or self._applied)
        if self._calls_layers and not self._applied:
            self._give(args, kwargs)
        if self._applied and self._log.active:
            self._fed, self._given = [], []

            def again() -> None:
                wrapped(*args, **kwargs)

            def evidence() -> dict[str, Any]:
                return self._replayed(again, before, generators, instance, args, kwargs)

            self._ended([[args, kwargs]], evidence)
        return result

    def _give(self, args: Any, kwargs: Any) -> None:
        if self._steps:
            self._threads.add(threading.get_ident())
        if len(self._given) < _MOST_CALLS:
            self._given.append(_arrays((args, kwargs)))

    def _begins(self) -> None:
        """Tells of the state that a step begins with: the script may have changed it since the last one."""
        if self._reader is None or self._begun == self._steps:
            return
        self._begun = self._steps
        self._last = self._present().tensor_digests()
        value = {s: self._last[s] for s in _HARD_SECTIONS if s in self._last}
        self._log.check(
            Event(kind="begin", key=f"-1 0 {self._steps}", value=value),
            evidence=lambda: {
                "models": describe_owners(self._log.sites, self._roots(), self._present().tensors),
                "layers": describe_layers(self._log.sites, self._roots()),
                **self._stepping(),
            },
        )

    def _stepping(self) -> dict[str, Any]:
        return {"stepping_threads": len(self._threads)} if len(self._threads) > 1 else {}

    def _copy(self) -> dict[int, Any]:
        """The values of all variables that are there, by their ids; none where they are not asked for."""
        if not self._log.follows:
            return {}
        return {id(v): tf.identity(v) for v in self._log.variables.variables()}

    def _ended(self, fed: list[Any], replay: Callable[[], dict[str, Any]] | None) -> None:
        """Tells of a step, into which some batches went: each what one call was given."""
        log, number = self._log, self._steps
        self._steps += 1
        place = f"-1 0 {number}"
        reader = self._present()
        with contextlib.suppress(Exception):  # what is no batch of samples has no digest
            rows = [row for batch in fed for row in row_digests(_arrays(batch))]
            log.note(Event(kind="batch", key=place, value=batch_digests(_arrays(fed)), info={"rows": rows}))
        after = reader.tensor_digests()
        value: dict[str, Any] = {s: after[s] for s in _HARD_SECTIONS if s in after}
        value |= self._moved(reader, after)
        self._last = after

        def evidence() -> dict[str, Any]:
            roots = self._roots()
            found: dict[str, Any] = {
                "models": describe_owners(log.sites, roots, reader.tensors),
                "layers": describe_layers(log.sites, roots),
            }
            if any(isinstance(v, tf.data.Dataset | tf.data.Iterator) for v in tf.nest.flatten(fed)):
                found["draws_data"] = True
            found |= self._stepping()
            if replay is not None and log.replays:
                found["replay"] = replay()
            return found

        log.check(Event(kind="end", key=place, value=value), evidence=evidence)

    def _moved(
        self, reader: StateReader, after: Mapping[str, Mapping[str, str]]
    ) -> dict[str, dict[str, str]]:
        """The seed generators that the step has drawn from, with their start, where that is known."""
        known = self._last.get("seeds", {})
        found: dict[str, str] = {}
        for tensor in reader.tensors:
            if tensor.section == "seeds":
                now, before = after["seeds"][tensor.name], known.get(tensor.name)
                if before not in (None, now):
                    found |= {tensor.name: now, f"{tensor.name} before": str(before)}
                elif before is None and self._log.variables.has_moved(tensor.variable):
                    found[tensor.name] = now
        return {"seeds": found} if found else {}

    def _roots(self) -> Any:
        """The layers that were called, by name; one alone goes by the names of what is in it."""
        layers = list(self._layers.values())
        return layers[0] if len(layers) == 1 else {f"layers/{i}": layer for i, layer in enumerate(layers)}

    def _present(self) -> StateReader:
        now = len(self._layers), len(self._optimizers)
        if self._reader is None or self._of != now:
            self._of = now
            self._reader = StateReader(self._roots(), list(self._optimizers.values()))
        else:
            self._reader.refresh(full=False)
        return self._reader

    def _replayed(
        self,
        again: Callable[[], None],
        before: Mapping[int, Any],
        generators: Mapping[str, Any],
        function: Any,
        args: Any,
        kwargs: Any,
    ) -> dict[str, Any]:
        reader = self._present()
        if not all(id(t.variable) in before for t in reader.tensors):
            return {}
        state = [before[id(t.variable)] for t in reader.tensors]
        found = repeated(again, reader, state, generators, reader.tensor_digests())
        with contextlib.suppress(Exception):  # a function whose graph cannot be had again
            graph = function.get_concrete_function(*args, **kwargs).graph
            found["tapped"] = {
                "level": "none",
                "faithful": True,
                "faithful_anew": True,
                "taps": [],
                "operations": [o.to_dict() for o in host_operations(graph)],
            }
        return found


@dataclass(frozen=True)
class _Known:
    """A `tf.function` that was called: whether it trains, and whether it calls layers at all."""

    function: Any
    trains: bool
    calls_layers: bool


def _arrays(values: Any) -> list[Any]:
    """The tensors and arrays in what a function was given; variables are no data."""
    flat = tf.nest.flatten(values)
    held = [v for v in flat if tf.is_tensor(v) or isinstance(v, np.ndarray | np.generic)]
    return [v for v in held if not isinstance(v, tf.Variable | keras.Variable)]
