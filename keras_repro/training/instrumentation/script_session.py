"""Record one launched script: each fit by its number, and what is computed outside of fit.

`KerasHooks` runs around Keras's methods those of the one `ScriptSession` of the process.
"""

from __future__ import annotations

import json
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_repro.ledger.schema import plain_number
from keras_repro.training.backends.active import backend
from keras_repro.training.backends.hooks import Call, Steps
from keras_repro.training.data.description import output_digests
from keras_repro.training.held.held_part import HeldPart
from keras_repro.training.held.held_records import HeldRecords
from keras_repro.training.instrumentation.fit_arguments import describe_fit, describe_inputs, shuffles_arrays
from keras_repro.training.instrumentation.present_state import (
    Digests,
    PresentState,
    RecordedModel,
    exit_state,
    present_state,
)
from keras_repro.training.instrumentation.train_on_batch_loop import TrainOnBatchLoop
from keras_repro.training.recording.fit_context import fit_details
from keras_repro.training.recording.recorded_part import RecordedPart
from keras_repro.training.recording.run_recorder import RunRecorder, state_record
from keras_repro.training.state.initial_values import InitialValues

if TYPE_CHECKING:
    from keras_repro.training.probes.event_log import EventLog

_MAX_MODELS = 16
_MAX_OPTIMIZERS = 4
_MAX_NUMBERS = 100_000_000


class ScriptSession:
    """Record what one process does with Keras models.

    Args:
        run: the run to record into.
        initial: initial values of the variables that were created since Keras was imported.
        event_log: the log of a diagnosing process; None in others.

    Attributes:
        run: the run.
        unsupported: the kinds of models that were trained and cannot be recorded.
        shuffled: whether Keras has shuffled arrays in a fit.
    """

    def __init__(self, run: RunRecorder, initial: InitialValues, event_log: EventLog | None = None) -> None:
        self.run = run
        self.unsupported: list[str] = []
        self._initial = initial
        self._event_log = event_log
        self._thread = threading.local()
        self.shuffled = False
        self._lock = threading.RLock()  # the script may train in several threads
        self._held = HeldRecords(run)
        self._loops: OrderedDict[int, TrainOnBatchLoop] = OrderedDict()
        self._fitted: list[tuple[str, weakref.ref[Any], RecordedPart, Digests]] = []
        self._last_fitted: Any = None  # kept alive: changes after its fit are recorded at the exit
        self._created: OrderedDict[int, tuple[str | None, Any]] = OrderedDict()
        self._created_count = 0
        self._optimizers: OrderedDict[int, Any] = OrderedDict()

    def create_model(self, call: Call) -> Steps:
        """Run around `Model.__init__`: the state of models that no fit trains is recorded at the exit."""
        yield
        instance = call.arguments["self"]
        is_inner = not self._is_outermost() or backend.trainer.is_made_by_sequential(call.caller)
        if not is_inner and not self.run.closed:
            with self._lock:
                self._created[id(instance)] = (self._name_of_next(), instance)
                while len(self._created) > _MAX_MODELS or self._older_numbers() > _MAX_NUMBERS:
                    self._created.popitem(last=False)

    def fit(self, call: Call) -> Steps:
        """Run around `Model.fit`: append a callback that records."""
        instance = call.arguments["self"]
        callback: Any = None
        remove: Any = None
        part = self._new_part(instance)
        with part.guarded("the arguments of a fit"):
            callback, remove = self._add_callback(instance, call.arguments, part)
        if callback is None or remove is None:
            yield
            return
        try:
            with self._inside_keras():
                yield
        except BaseException as error:
            self._end_fit(instance, callback, "stopped", reason=type(error).__name__)
            raise
        finally:
            remove()
        self._end_fit(instance, callback, "finished")

    def evaluate(self, call: Call) -> Steps:
        """Run around `Model.evaluate` and `test_on_batch`: record results outside of fit."""
        return self._record_result("evaluation", call)

    def predict(self, call: Call) -> Steps:
        """Run around `Model.predict` and `predict_on_batch`: record digests of outputs outside of fit."""
        return self._record_result("prediction", call)

    def train_on_batch(self, call: Call) -> Steps:
        """Run around `Model.train_on_batch`: record the state after 0, 1, 2, 4, 8, ... steps."""
        if not self._is_outermost() or self.run.closed:
            yield
            return
        instance = call.arguments["self"]
        with self._lock:
            loop = self._loops.get(id(instance))
            is_first = loop is None
            if loop is None:
                loop = self._new_loop(instance)
        with loop.first_step() if is_first else nullcontext(), self._inside_keras():
            yield
        with loop.part.guarded("train_on_batch"):
            loop.step(call.result)

    def optimizer_applied(self, optimizer: Any) -> None:
        """Called after `Optimizer.apply`; outside of Keras's own methods it is a custom training loop's."""
        if self._is_outermost() and not self.run.closed:
            with self._lock:
                self._optimizers[id(optimizer)] = optimizer  # kept alive, with the weights that it trains
                if len(self._optimizers) > _MAX_OPTIMIZERS:
                    self._optimizers.popitem(last=False)

    def threads_ended(self) -> None:
        """Write the records of other threads."""
        with RecordedPart(self.run).guarded("the records of threads"), self._lock:
            for loop in self._loops.values():
                loop.record()
            self._held.write()

    def exit(self, status: str, **details: Any) -> None:
        """Record the state of all models at the end of the script, and close the run."""
        state = PresentState({}, {}, {})
        part = RecordedPart(self.run)
        self.threads_ended()
        with part.guarded("the script's exit"):
            in_loops = [
                ("loop", weakref.ref(loop.model), loop.part, loop.last_digests)
                for loop in self._loops.values()
            ]
            state = exit_state(
                self._named_models(),
                [
                    RecordedModel(reference, f"{kind} {part.number}", digests)
                    for kind, reference, part, digests in [*self._fitted, *in_loops]
                    if part.number is not None
                ],
                self._optimizers.values(),
                self._initial,
                only_changed=bool(self.run.fits or self.run.counts["loop"]),
            )
        if self.run.broken is not None:
            status, details = "stopped", details | {"incomplete": True}
        # Keras may not be imported: it is not imported for this.
        seeds = {"seeds_set": backend.random_state.seeds_set()} if "keras" in sys.modules else {}
        self.run.append(
            state_record(
                "exit",
                state.tensors,
                latent=state.latent,
                shapes=state.shapes,
                extra={"status": status, "unsupported": self.unsupported, **seeds, **details},
            )
        )
        self.run.close()

    def _new_part(self, model: Any) -> RecordedPart:
        """Return a part of the record of a model, for what this thread does with it."""
        return RecordedPart(self.run) if _in_main_thread() else self._held.new_part(model)

    def _add_callback(self, model: Any, arguments: dict[str, Any], part: RecordedPart) -> tuple[Any, Any]:
        """Add a recording callback to the arguments of a fit; return it and a function that removes it."""
        from keras_repro.training.recording.callback_order import append_callback
        from keras_repro.training.recording.fit_callback import FitCallback

        if self.run.closed:
            return None, None
        self._record_loops(model)
        self._forget_created(model)
        known = fit_details.get()
        details = dict(known) if known is not None else describe_fit(arguments)
        self.shuffled |= shuffles_arrays(details)
        if self._optimizers:
            details["after_custom_loop"] = True
        order = details.pop("order", None)
        if order is not None:
            self._cover_order()
        callback = FitCallback(self.run, new_part=lambda: part, details=details, order=order)
        callbacks = arguments.get("callbacks")
        if self._event_log is not None:
            from keras_repro.training.probes.callback_probe import CallbackProbe

            callbacks, _ = append_callback(callbacks, CallbackProbe(self._event_log, callback), model)
        arguments["callbacks"], remove = append_callback(callbacks, callback, model)
        return callback, remove

    def _end_fit(self, model: Any, callback: Any, status: str, **details: Any) -> None:
        callback.end(status, **details)
        if callback.fit is not None:
            self._add_fitted(model, callback.fit.part, callback.fit.last_digests)

    def _add_fitted(self, model: Any, part: RecordedPart, digests: Digests) -> None:
        """Remember a model's state after its fit: it may change until the exit."""
        with self._lock:
            others = [f for f in self._fitted if f[1]() is not None and f[1]() is not model]
            self._fitted = [*others, ("fit", weakref.ref(model), part, digests)]
            if _in_main_thread():  # which of several threads is last is chance
                self._last_fitted = model

    def _cover_order(self) -> None:
        """Add the data order to the coverage, if the header is not written yet."""
        if not self.run.started:
            self.run.coverage += "o"

    def _new_loop(self, model: Any) -> TrainOnBatchLoop:
        self._forget_created(model)
        if len(self._loops) >= _MAX_MODELS:
            _, oldest = self._loops.popitem(last=False)
            oldest.record()
        loop = self._loops[id(model)] = TrainOnBatchLoop(self._new_part(model), model)
        return loop

    def _record_loops(self, model: Any) -> None:
        """Record the loops whose weights a fit of `model` may change: in another thread, only its own."""
        with self._lock:
            for key, loop in self._loops.items():
                if key == id(model) or (_in_main_thread() and not isinstance(loop.part, HeldPart)):
                    loop.record()

    def _record_result(self, kind: str, call: Call) -> Steps:
        if not self._is_outermost() or self.run.closed:
            yield
            return
        data: dict[str, Any] = {}
        instance = call.arguments["self"]
        part = self._new_part(instance)
        with part.guarded(kind):
            data = describe_inputs(call.arguments)
        with self._inside_keras():
            yield
        result = call.result
        with part.guarded(kind):
            index = part.begin(kind)
            metrics = _named_metrics(instance, result) if kind == "evaluation" else {}
            part.append(
                state_record(
                    kind,
                    {"results": output_digests(result)},
                    index=index,
                    metrics={n: plain_number(v) for n, v in metrics.items()},
                    extra={"data": data},
                )
            )

    def _forget_created(self, model: Any) -> None:
        """Drop a model that a fit or a loop records: the record of the exit does not need it."""
        with self._lock:
            for known in (model, backend.trainer.inner_model(model)):
                self._created.pop(id(known), None)

    def _name_of_next(self) -> str | None:
        """Return the name of a model that is created now; None in another thread, where order is chance."""
        if not _in_main_thread():
            return None
        self._created_count += 1
        return f"model {self._created_count - 1}"

    def _named_models(self) -> dict[str, Any]:
        """Return the created models by name; those of other threads are numbered by their content."""
        named = {name: model for name, model in self._created.values() if name is not None}
        others = [model for name, model in self._created.values() if name is None]
        others.sort(key=lambda model: json.dumps(present_state({"": model}).tensors, sort_keys=True))
        return named | {f"model {self._created_count + i}": model for i, model in enumerate(others)}

    def _older_numbers(self) -> int:
        """Return the size of the models that only this session keeps alive, without the newest."""
        older = [model for _, model in self._created.values()][:-1]
        return sum(int(np.prod(v.shape)) for model in older for v in backend.variables.variables_of(model))

    def _is_outermost(self) -> bool:
        """Return whether this thread is outside of Keras's own methods."""
        return getattr(self._thread, "depth", 0) == 0

    @contextmanager
    def _inside_keras(self) -> Iterator[None]:
        self._thread.depth = getattr(self._thread, "depth", 0) + 1
        try:
            yield
        finally:
            self._thread.depth -= 1


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _named_metrics(model: Any, result: Any) -> dict[str, Any]:
    if isinstance(result, dict):
        return dict(result)
    values = result if isinstance(result, list | tuple) else [result]
    names = []
    for metric in getattr(model, "metrics", ()):
        compiled = getattr(metric, "metrics", None)  # Keras combines the compiled ones in one metric
        names += [m.name for m in compiled] if compiled else [metric.name]
    if len(names) != len(values):
        # Keras gives no names: a test step of the user's may return any values.
        names = [f"value {i}" for i in range(1, len(values) + 1)] if len(values) > 1 else ["value"]
    return dict(zip(names, values, strict=True))
