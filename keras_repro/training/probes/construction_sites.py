"""Where the user's code made layers, optimizers and input pipelines, and what of a pipeline may not repeat.

For diagnosing only: it stands in the constructors of Keras and `tf.data`, and changes no argument and no
result.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import wrapt

from keras_repro.determinism.operation_catalogue import STATEFUL_RANDOM
from keras_repro.source_code.call_site import (
    CallSite,
    frames_from,
    is_constructing,
    is_users_file,
    user_call_site,
)
from keras_repro.storage.trace_file import Event
from keras_repro.training.backends.active import backend
from keras_repro.training.graph.host_operations import host_operations
from keras_repro.training.probes.line_tracer import LineTracer

_FUNCTION_OF = ("map", "flat_map", "filter", "interleave", "scan", "take_while", "reduce")
_OF_PIPELINES = (*_FUNCTION_OF, "shuffle", "with_options")
_STATIC_OF_PIPELINES = ("from_generator", "list_files", "random", "sample_from_datasets")


class ConstructionSites:
    """Remembers which line made what.

    Args:
        emit: receives an event for each pipeline, thread and data set that may not repeat.
        lines: the watch over the user's lines, which has to look at Python code in graphs too.
    """

    def __init__(self, emit: Callable[[Event], None], lines: LineTracer) -> None:
        self._emit, self._lines = emit, lines
        self._sites: weakref.WeakKeyDictionary[Any, CallSite] = weakref.WeakKeyDictionary()
        self._inner: weakref.WeakSet[Any] = weakref.WeakSet()
        self._threads: weakref.WeakKeyDictionary[Any, CallSite] = weakref.WeakKeyDictionary()

    def site_of(self, made: Any) -> CallSite | None:
        """The line that made an object, None if nothing saw it."""
        try:
            return self._sites.get(made)
        except TypeError:
            return None

    def is_inner(self, made: Any) -> bool:
        """Whether a library made an object, such as the dropout inside of an attention layer."""
        return made in self._inner

    def running_threads(self) -> list[CallSite]:
        """The lines that started the threads of the user's that are running now."""
        return [line for thread, line in list(self._threads.items()) if thread.is_alive()]

    def watch_keras(self) -> None:
        """Begins with layers, optimizers, metrics and data sets of Keras."""
        import keras

        for owner in (keras.Layer, keras.Optimizer, keras.metrics.Metric, keras.utils.PyDataset):
            wrapt.wrap_function_wrapper(owner, "__init__", self._made)

    def watch_pipelines(self) -> None:
        """Begins with `tf.data` and with random operations that are not seeded."""
        import tensorflow as tf

        for name in _OF_PIPELINES:
            if hasattr(tf.data.Dataset, name):
                wrapt.wrap_function_wrapper(tf.data.Dataset, name, functools.partial(self._pipeline, name))
        for name in _STATIC_OF_PIPELINES:
            original = getattr(tf.data.Dataset, name, None)
            if original is not None:
                setattr(tf.data.Dataset, name, staticmethod(self._static(name, original)))
        backend.random_state.wrap_operation_seeds(self._seeding)
        # Python code in a graph runs in threads of TensorFlow's own.
        backend.graphs.wrap_python_calls(self._on_host)

    def watch_threads(self) -> None:
        """Begins with threads. (Python 3.11 has no audit event for them.)"""
        wrapt.wrap_function_wrapper(threading.Thread, "__init__", self._thread_made)
        wrapt.wrap_function_wrapper(threading.Thread, "start", self._thread)

    def _thread_made(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        line = user_call_site(sys._getframe(1), beyond=instance)
        wrapped(*args, **kwargs)
        if line is not None:
            self._threads[instance] = line

    def _thread(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        """Says so where a thread runs, or was asked for by, the user's code."""
        target = getattr(instance, "_target", None) or type(instance).run
        code = getattr(getattr(target, "__func__", target), "__code__", None)
        module = getattr(target, "__module__", "") or ""
        users = code is not None and is_users_file(code.co_filename)
        if users or module.startswith(("concurrent.futures", "multiprocessing")):
            line = user_call_site(sys._getframe(1))
            if line is not None:
                self._emit_risk("thread", self._threads.setdefault(instance, line), ["a thread"])
        return wrapped(*args, **kwargs)

    def _made(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        line = user_call_site(sys._getframe(1), beyond=instance)
        if line is not None:
            self._sites[instance] = line
            if not _made_by_user(sys._getframe(1), instance):
                self._inner.add(instance)
            if "PyDataset" in {k.__name__ for k in type(instance).__mro__}:
                workers = kwargs.get("workers", args[0] if args else 1)
                risks = [f"{workers} workers"] if isinstance(workers, int) and workers > 1 else []
                self._emit_risk("PyDataset", line, risks)
        return wrapped(*args, **kwargs)

    def _pipeline(self, name: str, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        line = user_call_site(sys._getframe(1))
        if line is not None:
            self._emit_risk(name, line, list(self._risks(name, result, args, kwargs)))
        return result

    def _static(self, name: str, original: Any) -> Any:
        @functools.wraps(original)
        def made(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            line = user_call_site(sys._getframe(1))
            if line is not None:
                risks = {"from_generator": ["a Python generator"], "random": ["random numbers"]}.get(name, [])
                self._emit_risk(name, line, risks)
            return result

        return made

    def _risks(self, name: str, dataset: Any, args: Any, kwargs: Any) -> Iterator[str]:
        parallel = kwargs.get("num_parallel_calls", args[1] if name == "map" and len(args) > 1 else None)
        if kwargs.get("deterministic") is False:
            yield "an order that is not deterministic"
        if name == "with_options" and dataset.options().deterministic is False:
            yield "an order that is not deterministic"
        if name in _FUNCTION_OF:
            graph = backend.pipelines.graph_of_function(dataset)
            for one in host_operations(graph) if graph is not None else ():
                if one.type in backend.graphs.ON_HOST:
                    yield "Python code" + (", in parallel" if parallel is not None else "")
                elif one.type in STATEFUL_RANDOM:
                    yield f"a stateful random operation ({one.type})" + (
                        "" if one.seeded else " without a seed"
                    )

    def _on_host(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        with self._lines.trace_thread():
            return wrapped(*args, **kwargs)

    def _seeding(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        result = wrapped(*args, **kwargs)
        if result == (None, None):
            line = user_call_site(sys._getframe(1))
            if line is not None:
                self._emit_risk("random operation", line, ["no seed"])
        return result

    def _emit_risk(self, what: str, line: CallSite, risks: list[str]) -> None:
        key = f"{what} {line.file}:{line.line}"
        info = {"what": what, "risks": list(dict.fromkeys(risks)), "source": line.to_dict()}
        self._emit(Event(kind="made", key=key, value=None, info=info))


def _made_by_user(frame: Any, made: Any) -> bool:
    """Whether the frame beyond an object's own making is the user's."""
    for caller in frames_from(frame):
        code = caller.f_code
        skipped = code.co_name == "__call__" or "wrapt" in code.co_filename
        if not skipped and not is_constructing(caller, made):
            return is_users_file(code.co_filename)
    return False
