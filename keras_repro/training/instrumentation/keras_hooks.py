"""Wrap the methods of Keras whose calls a script's ledger records, once the script imports Keras.

Importing this module loads no framework.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import wrapt

from keras_repro.processes.protocol import Plan
from keras_repro.storage.atomic_files import open_to_write
from keras_repro.storage.run_folder import UNOBSERVED
from keras_repro.training.backends.active import backend

# Methods of a model, and the methods of `ScriptSession` that wrap them.
_METHODS = {
    "__init__": "create_model",
    "fit": "fit",
    "evaluate": "evaluate",
    "test_on_batch": "evaluate",
    "predict": "predict",
    "predict_on_batch": "predict",
    "train_on_batch": "train_on_batch",
}


class KerasHooks:
    """Hooks into Keras, for the process that records.

    Args:
        plan: what the process does.
        session: returns the `ScriptSession`, which is created at its first call.
        event_log: receives the calls of a diagnosing process; None in others.

    Attributes:
        initial_values: the `InitialValues` since Keras was imported; None before.
        unsupported: the kinds of models that were trained and cannot be recorded.
    """

    def __init__(self, plan: Plan, session: Callable[[], Any], event_log: Any) -> None:
        self.initial_values: Any = None
        self.unsupported: list[str] = []
        self._plan, self._session, self._event_log = plan, session, event_log
        self._pid = os.getpid()

    def install(self) -> None:
        """Register the hooks; they run when the script imports Keras."""
        register = wrapt.register_post_import_hook
        register(self._wrap_trainer, backend.trainer.TRAINER_MODULE)
        register(self._wrap_optimizers, backend.trainer.OPTIMIZER_MODULE)
        for module, (name, owner) in backend.trainer.OTHER_TRAINERS.items():
            register(self._wrap_unsupported(name, owner), module)

    def _wrap_trainer(self, module: Any) -> None:
        from keras_repro.training.state import initial_values

        self.initial_values = initial_values.start()
        if self._plan.portability is not None:
            from keras_repro.training.portable.mode import PortableMode

            PortableMode(**self._plan.portability).__enter__()  # until the process ends
        if self._event_log is not None:
            from keras_repro.training.probes import installer

            installer.install(self._event_log)
        for method, handler in _METHODS.items():
            wrapt.wrap_function_wrapper(backend.trainer.trainer_class(), method, self._wrapper(handler))

    def _wrapper(self, handler: str) -> Callable[..., Any]:
        def call(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            if os.getpid() != self._pid:
                # A forked process must not touch the ledger of the one that records.
                if handler in ("fit", "train_on_batch"):
                    open_to_write(self._plan.folder / f"{UNOBSERVED}{os.getpid()}").close()
                return wrapped(*args, **kwargs)
            handle = getattr(self._session(), handler)
            if self._event_log is None:
                return handle(wrapped, instance, args, kwargs)
            self._event_log.method_called(handler, sys._getframe(1), instance)
            with self._event_log.in_keras():
                return handle(wrapped, instance, args, kwargs)

        return call

    def _wrap_optimizers(self, module: Any) -> None:
        def apply(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            result = wrapped(*args, **kwargs)
            if os.getpid() == self._pid:
                self._session().optimizer_applied(instance)
            return result

        wrapt.wrap_function_wrapper(module.BaseOptimizer, "apply", apply)

    def _wrap_unsupported(self, name: str, owner: str) -> Callable[[Any], None]:
        def wrap(module: Any) -> None:
            def fit(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
                if name not in self.unsupported:
                    self.unsupported.append(name)
                return wrapped(*args, **kwargs)

            wrapt.wrap_function_wrapper(getattr(module, owner), "fit", fit)

        return wrap
