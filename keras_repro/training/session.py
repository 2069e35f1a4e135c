"""The recording of one launched script: each fit by number, and what is computed outside fit.

`instrument` wraps Keras's methods with the functions of the one `Session` of the process.
"""

from __future__ import annotations

import inspect
import math
import sys
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

import numpy as np

from keras_repro.record.digest import section_digest
from keras_repro.record.schema import Record, plain_number
from keras_repro.training import keras_api
from keras_repro.training.batch_loop import BatchLoop, present_state
from keras_repro.training.run_recorder import RunRecorder

_MOST_MODELS = 16
_MOST_NUMBERS = 100_000_000

# What a trainer knows of the fit that it is about to call: `data`, `validation_data`, `order`, ...
fit_details: ContextVar[Mapping[str, Any] | None] = ContextVar("fit_details", default=None)


class Session:
    """Records what one process does with Keras models.

    Args:
        run: the run to record into.
    """

    def __init__(self, run: RunRecorder) -> None:
        self.run = run
        self.unsupported: list[str] = []
        self._inside = threading.local()
        self._results = {"evaluation": 0, "prediction": 0}
        self._loops: dict[int, BatchLoop] = {}
        self._models: OrderedDict[int, tuple[str, Any]] = OrderedDict()
        self._made = 0

    def made(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Wraps a model's making: models that no fit trains are looked at when the script ends."""
        result = wrapped(*args, **kwargs)
        inner = not self._outermost() or keras_api.is_made_by_sequential(sys._getframe(1))
        if inner:
            return result
        self._models[id(instance)] = (f"model {self._made}", instance)
        self._made += 1
        while len(self._models) > _MOST_MODELS or self._held_numbers() > _MOST_NUMBERS:
            self._models.popitem(last=False)
        return result

    def fit(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Wraps `Model.fit`: adds a recording callback behind all others."""
        from keras_repro.training.callback import FitCallback, joined

        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        self._end_loops()
        self._leave_to_others(instance)
        known = fit_details.get()
        details = dict(known) if known is not None else _details_of_fit(bound.arguments)
        order = details.pop("order", None)
        if order is not None and not self.run.started:
            self.run.coverage += "o"
        callback = FitCallback(self.run, details=details, order=order)
        given = bound.arguments.get("callbacks")
        bound.arguments["callbacks"], leave = joined(given, callback, instance)
        try:
            with _Depth(self._inside):
                result = wrapped(*bound.args, **bound.kwargs)
        except BaseException as error:
            callback.end("stopped", reason=type(error).__name__)
            raise
        finally:
            leave()
        callback.end("finished")
        return result

    def evaluate(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Wraps `Model.evaluate` and `test_on_batch`: records the result outside fit."""
        return self._result("evaluation", wrapped, instance, args, kwargs)

    def predict(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Wraps `Model.predict` and `predict_on_batch`: records a digest of the outputs outside fit."""
        return self._result("prediction", wrapped, instance, args, kwargs)

    def train_on_batch(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Wraps `Model.train_on_batch`: records loops of it, their state at 0, 1, 2, 4, 8, ... steps."""
        if not self._outermost():
            return wrapped(*args, **kwargs)
        loop = self._loops.get(id(instance))
        if loop is None:
            self._leave_to_others(instance)
            loop = self._loops[id(instance)] = BatchLoop(self.run, instance, len(self._loops))
            born = loop.begin()
            with _Depth(self._inside), born:
                result = wrapped(*args, **kwargs)
        else:
            with _Depth(self._inside):
                result = wrapped(*args, **kwargs)
        loop.step(result)
        return result

    def exit(self, status: str, **details: Any) -> None:
        """Records the state of the models that no fit trained, and ends the run."""
        self._end_loops()
        models = dict(self._models.values())
        tensors, latent, shapes = present_state(models) if models else ({}, {}, {})
        if self.run.fits or self._loops:
            # Beside a training that was observed, a model that none of it touched is only noted.
            latent |= {f"{section} of models that were not trained": t for section, t in tensors.items()}
            tensors = {}
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

    def _result(self, kind: str, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        if not self._outermost():
            return wrapped(*args, **kwargs)
        from keras_repro.training.dataset import describe_data, output_digests

        bound = inspect.signature(wrapped).bind(*args, **kwargs)
        data = describe_data(*(bound.arguments.get(n) for n in ("x", "y", "sample_weight")))
        with _Depth(self._inside):
            result = wrapped(*args, **kwargs)
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
        for known in (model, keras_api.inner_model(model)):
            self._models.pop(id(known), None)

    def _end_loops(self) -> None:
        for loop in self._loops.values():
            loop.end()

    def _held_numbers(self) -> int:
        """Size of the models that are kept alive only to be looked at in the end; the last does not count."""
        held = [model for _, model in self._models.values()][:-1]
        return sum(int(np.prod(v.shape)) for model in held for v in keras_api.variables_of(model))

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
    return {"seeds_set": keras_api.seeds_set()} if "keras" in sys.modules else {}


def _details_of_fit(arguments: Mapping[str, Any]) -> dict[str, Any]:
    from keras_repro.training.dataset import describe_data

    data = describe_data(*(arguments.get(n) for n in ("x", "y", "sample_weight")))
    details: dict[str, Any] = {"data": data}
    validation = arguments.get("validation_data")
    if validation is not None:
        parts = validation if isinstance(validation, tuple | list) else (validation,)
        details["validation_data"] = describe_data(*parts[:3])
    plain = ("batch_size", "initial_epoch", "steps_per_epoch", "validation_split", "shuffle")
    chosen = {n: arguments[n] for n in plain if arguments.get(n) is not None}
    chosen = {n: v for n, v in chosen.items() if isinstance(v, int | float | str)}
    details["arguments"] = chosen | {"epochs_requested": int(arguments.get("epochs") or 1)}
    steps = arguments.get("steps_per_epoch") or _steps(data, chosen)
    if steps:
        details["arguments"]["steps_requested"] = int(steps)
    seeded = keras_api.seeds_set()["tensorflow"] is not None
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
