"""The recording of one launched script: each fit by number, and what is computed outside fit.

`instrument` wraps Keras's methods with the functions of the one `ScriptSession` of the process.
"""

from __future__ import annotations

import inspect
import math
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_repro.ledger.schema import Record, plain_number
from keras_repro.storage.digest import section_digest
from keras_repro.training.backends.active import backend
from keras_repro.training.instrumentation.train_on_batch_loop import (
    BatchLoop,
    moved_since_birth,
    present_state,
)
from keras_repro.training.recording.fit_context import fit_details
from keras_repro.training.recording.run_recorder import RunRecorder
from keras_repro.training.state.initial_values import InitialValues

if TYPE_CHECKING:
    from keras_repro.training.probes.event_log import EventLog

_MOST_MODELS = 16
_MOST_OPTIMIZERS = 4
_MOST_NUMBERS = 100_000_000


class ScriptSession:
    """Records what one process does with Keras models.

    Args:
        run: the run to record into.
        born: has seen variables being made since Keras was imported.
        probe: looks closer at each step, where the script is diagnosed.
    """

    def __init__(self, run: RunRecorder, born: InitialValues, probe: EventLog | None = None) -> None:
        self.run = run
        self._probe = probe
        self._born = born
        self.unsupported: list[str] = []
        self._inside = threading.local()
        self._results = {"evaluation": 0, "prediction": 0}
        self._loops: OrderedDict[int, BatchLoop] = OrderedDict()
        self._loops_made = 0
        self._fitted: list[tuple[weakref.ref[Any], str, dict[str, dict[str, str]]]] = []
        self._last_fitted: Any = None  # kept alive: what is done to it after its fit is seen at the exit
        self._models: OrderedDict[int, tuple[str, Any]] = OrderedDict()
        self._applied: OrderedDict[int, Any] = OrderedDict()
        self._made = 0

    def made(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Wraps a model's making: models that no fit trains are looked at when the script ends."""
        result = wrapped(*args, **kwargs)
        inner = not self._outermost() or backend.trainer.is_made_by_sequential(sys._getframe(1))
        if not inner and not self.run.closed:
            self._models[id(instance)] = (f"model {self._made}", instance)
            self._made += 1
            while len(self._models) > _MOST_MODELS or self._held_numbers() > _MOST_NUMBERS:
                self._models.popitem(last=False)
        return result

    def fit(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Wraps `Model.fit`: adds a recording callback behind all others."""
        bound, callback, leave = inspect.signature(wrapped).bind(*args, **kwargs), None, None
        with self.run.guarded("a fit"):
            callback, leave = self._join(instance, bound)
        if callback is None or leave is None:
            return wrapped(*args, **kwargs)
        try:
            with _Depth(self._inside):
                result = wrapped(*bound.args, **bound.kwargs)
        except BaseException as error:
            self._end_fit(instance, callback, "stopped", reason=type(error).__name__)
            raise
        finally:
            leave()
        self._end_fit(instance, callback, "finished")
        return result

    def evaluate(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Wraps `Model.evaluate` and `test_on_batch`: records the result outside fit."""
        return self._result("evaluation", wrapped, instance, args, kwargs)

    def predict(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Wraps `Model.predict` and `predict_on_batch`: records a digest of the outputs outside fit."""
        return self._result("prediction", wrapped, instance, args, kwargs)

    def train_on_batch(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Wraps `Model.train_on_batch`: records loops of it, their state at 0, 1, 2, 4, 8, ... steps."""
        if not self._outermost() or self.run.closed:
            return wrapped(*args, **kwargs)
        loop = self._loops.get(id(instance))
        born = None
        if loop is None:
            loop = self._new_loop(instance)
            born = loop.begin()
        with _Depth(self._inside):
            result = wrapped(*args, **kwargs)
        with self.run.guarded("train_on_batch"):
            if born is not None:
                loop.take_births(born)
            loop.step(result)
        return result

    def applied(self, optimizer: Any) -> None:
        """Hears that an optimizer was applied; outside of Keras's own methods it trains in a loop by hand."""
        if self._outermost() and not self.run.closed:
            self._applied[id(optimizer)] = optimizer  # kept alive, with the weights that it trains
            if len(self._applied) > _MOST_OPTIMIZERS:
                self._applied.popitem(last=False)

    def exit(self, status: str, **details: Any) -> None:
        """Records the state of the models as the script leaves them, and ends the run."""
        tensors: dict[str, dict[str, str]] = {}
        latent: dict[str, dict[str, str]] = {}
        shapes: dict[str, list[Any]] = {}
        with self.run.guarded("the script's exit"):
            self._end_loops()
            tensors, latent, shapes = self._left_behind()
        self.run.append(
            Record(
                kind="exit",
                sections={name: section_digest(held) for name, held in tensors.items()},
                tensors=tensors,
                latent=latent,
                shapes=shapes,
                extra={"status": status, "unsupported": self.unsupported, **_seeds_set(), **details},
            )
        )
        self.run.close()

    def _join(self, model: Any, bound: inspect.BoundArguments) -> tuple[Any, Any]:
        """Puts a recording callback into the arguments of a fit; none once the run is closed."""
        from keras_repro.training.recording.callback_order import append_callback
        from keras_repro.training.recording.fit_callback import FitCallback

        if self.run.closed:
            return None, None
        self._end_loops()
        self._leave_to_others(model)
        known = fit_details.get()
        details = dict(known) if known is not None else _details_of_fit(bound.arguments)
        order = details.pop("order", None)
        if order is not None and not self.run.started:
            self.run.coverage += "o"
        callback = FitCallback(self.run, details=details, order=order)
        given = bound.arguments.get("callbacks")
        if self._probe is not None:
            from keras_repro.training.probes.callback_probe import CallbackProbe

            given, _ = append_callback(given, CallbackProbe(self._probe, callback), model)
        bound.arguments["callbacks"], leave = append_callback(given, callback, model)
        return callback, leave

    def _end_fit(self, model: Any, callback: Any, status: str, **details: Any) -> None:
        """Ends the record of a fit, and keeps what it left behind: it may change before the exit."""
        callback.end(status, **details)
        fit = callback.fit
        if fit is not None:
            self._last_fitted = model
            self._fitted = [f for f in self._fitted if f[0]() is not None and f[0]() is not model]
            self._fitted.append((weakref.ref(model), f"fit {fit.number}", fit.last_digests))

    def _new_loop(self, model: Any) -> BatchLoop:
        self._leave_to_others(model)
        if len(self._loops) >= _MOST_MODELS:
            _, oldest = self._loops.popitem(last=False)
            oldest.end()
        loop = self._loops[id(model)] = BatchLoop(self.run, model, self._loops_made)
        self._loops_made += 1
        return loop

    def _left_behind(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """State of the models at the exit: what is in the chain, what is only noted, and shapes."""
        models = dict(self._models.values()) | self._bare()
        tensors, latent, shapes = present_state(models)
        if self.run.fits or self._loops_made:
            # Beside a training that was observed, a model that nothing changed is only noted.
            moved = moved_since_birth(models, self._born)
            for section, held in tensors.items():
                rest = {n: d for n, d in held.items() if n not in moved}
                latent |= {f"{section} of models that were not trained": rest} if rest else {}
            tensors = {s: {n: d for n, d in held.items() if n in moved} for s, held in tensors.items()}
        last = [(ref(), label, left) for ref, label, left in self._fitted]
        last += [(loop.model, f"loop {loop.index}", loop.last) for loop in self._loops.values()]
        for model, label, before in last:
            if model is None:
                continue
            for section, held in present_state({"": model})[0].items():
                known = before.get(section, {})
                tensors[f"{section} after {label}"] = {
                    name: digest for name, digest in held.items() if known.get(name, digest) != digest
                }
        return {section: held for section, held in tensors.items() if held}, latent, shapes

    def _bare(self) -> dict[str, Any]:
        """Variables that a loop by hand has trained and no model holds, with their optimizers."""
        from keras_repro.training.state.walk import model_state

        found: dict[str, Any] = {}
        held = dict(self._models.values())
        held |= {f"fitted {i}": m for i, (ref, _, _) in enumerate(self._fitted) if (m := ref()) is not None}
        held |= {f"loop {i}": loop.model for i, loop in enumerate(self._loops.values())}
        known = {id(t.variable) for t in model_state(held)} if self._applied else set()
        for optimizer in self._applied.values():
            trained = backend.variables.trained_variables(optimizer)
            loose = [v for v in trained if id(backend.variables.raw_variable(v)) not in known]
            if loose:
                named = {str(getattr(v, "path", None) or v.name): v for v in loose}
                if len(named) < len(loose):
                    named = {str(i): v for i, v in enumerate(loose)}
                found[f"trained by hand {len(found)}"] = SimpleNamespace(**named, optimizer=optimizer)
        return found

    def _result(self, kind: str, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        if not self._outermost() or self.run.closed:
            return wrapped(*args, **kwargs)
        from keras_repro.training.data.description import describe_data, output_digests

        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        data: dict[str, Any] = {}
        with self.run.guarded(kind):
            data = describe_data(*(bound.arguments.get(n) for n in ("x", "y", "sample_weight")))
        with _Depth(self._inside):
            result = wrapped(*args, **kwargs)
        with self.run.guarded(kind):
            digests = output_digests(result)
            index = self._results[kind]
            self._results[kind] += 1
            metrics = _named_metrics(instance, result) if kind == "evaluation" else {}
            self.run.append(
                Record(
                    kind=kind,
                    index=index,
                    sections={"results": section_digest(digests)},
                    tensors={"results": digests},
                    metrics={n: plain_number(v) for n, v in metrics.items()},
                    extra={"data": data},
                )
            )
        return result

    def _leave_to_others(self, model: Any) -> None:
        """Lets go of a model that a fit or a loop records: it need not be looked at when the script ends."""
        for known in (model, backend.trainer.inner_model(model)):
            self._models.pop(id(known), None)

    def _end_loops(self) -> None:
        for loop in self._loops.values():
            loop.end()

    def _held_numbers(self) -> int:
        """Size of the models that are kept alive only to be looked at in the end; the last does not count."""
        held = [model for _, model in self._models.values()][:-1]
        return sum(int(np.prod(v.shape)) for model in held for v in backend.variables.variables_of(model))

    def _outermost(self) -> bool:
        return getattr(self._inside, "depth", 0) == 0


class _Depth:
    """Counts how deep in Keras's own methods a thread is."""

    def __init__(self, local: threading.local) -> None:
        self._local = local

    def __enter__(self) -> None:
        self._local.depth = getattr(self._local, "depth", 0) + 1

    def __exit__(self, *error: object) -> None:
        self._local.depth -= 1


def _seeds_set() -> dict[str, Any]:
    """The seeds that were set, where Keras was there to remember them."""
    return {"seeds_set": backend.random_state.seeds_set()} if "keras" in sys.modules else {}


def _details_of_fit(arguments: Mapping[str, Any]) -> dict[str, Any]:
    from keras_repro.training.data.description import describe_data, validation_parts

    data = describe_data(*(arguments.get(n) for n in ("x", "y", "sample_weight")))
    details: dict[str, Any] = {"data": data}
    validation = arguments.get("validation_data")
    if validation is not None:
        details["validation_data"] = describe_data(*validation_parts(validation))
    plain = ("batch_size", "initial_epoch", "steps_per_epoch", "validation_split", "shuffle")
    chosen = {n: arguments[n] for n in plain if arguments.get(n) is not None}
    chosen = {n: v for n, v in chosen.items() if isinstance(v, int | float | str)}
    details["arguments"] = chosen | {"epochs_requested": int(arguments.get("epochs") or 1)}
    steps = arguments.get("steps_per_epoch") or _steps(data, chosen)
    if steps:
        details["arguments"]["steps_requested"] = int(steps)
    seeded = backend.random_state.seeds_set()["tensorflow"] is not None
    if seeded and data.get("kind") == "arrays" and chosen.get("shuffle", True):
        details["frozen_shuffle"] = True
    return details


def _steps(data: Mapping[str, Any], arguments: Mapping[str, Any]) -> int | None:
    """Steps of a whole pass over arrays, as Keras counts them."""
    if "samples" not in data:
        return None
    kept = math.floor(data["samples"] * (1.0 - float(arguments.get("validation_split", 0.0))))
    return -(-kept // int(arguments.get("batch_size") or 32))


def _named_metrics(model: Any, result: Any) -> dict[str, Any]:
    if isinstance(result, dict):
        return dict(result)
    values = result if isinstance(result, list | tuple) else [result]
    names = []
    for metric in getattr(model, "metrics", ()):
        compiled = getattr(metric, "metrics", None)  # Keras holds the compiled ones in one
        names += [m.name for m in compiled] if compiled else [metric.name]
    if len(names) != len(values):
        names = [f"result {i}" for i in range(len(values))]
    return dict(zip(names, values, strict=True))
