"""Hook the methods of Keras whose calls a script's ledger records, once the script imports Keras.

Importing this module loads no framework.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from keras_repro.processes.protocol import Plan
from keras_repro.storage.atomic_files import open_to_write
from keras_repro.storage.run_folder import UNOBSERVED
from keras_repro.training.backends.active import backend
from keras_repro.training.backends.hooks import Call, Handler, Steps, add_hook
from keras_repro.training.backends.import_hooks import when_imported

# Methods of a model, and the methods of `ScriptSession` that are run around them.
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
        when_imported(backend.trainer.TRAINER_MODULE, self._hook_trainer)
        when_imported(backend.trainer.OPTIMIZER_MODULE, self._hook_optimizers)
        for module, (name, owner) in backend.trainer.OTHER_TRAINERS.items():
            when_imported(module, self._hook_unsupported(name, owner))

    def _hook_trainer(self, module: Any) -> None:
        from keras_repro.training.state import initial_values

        self.initial_values = initial_values.start()
        if self._plan.portability is not None:
            from keras_repro.training.portable.mode import PortableMode

            PortableMode(**self._plan.portability).__enter__()  # until the process ends
        if self._event_log is not None:
            from keras_repro.training.probes import installer

            installer.install(self._event_log)
        for method, handler in _METHODS.items():
            add_hook(backend.trainer.trainer_class(), method, self._handler(handler))

    def _handler(self, handler: str) -> Handler:
        def handle(call: Call) -> Steps:
            if os.getpid() != self._pid:
                # A forked process must not touch the ledger of the one that records.
                if handler in ("fit", "train_on_batch"):
                    open_to_write(self._plan.folder / f"{UNOBSERVED}{os.getpid()}").close()
                yield
                return
            steps = getattr(self._session(), handler)(call)
            if self._event_log is None:
                yield from steps
                return
            self._event_log.method_called(handler, call.caller, call.arguments["self"])
            with self._event_log.in_keras():
                yield from steps

        return handle

    def _hook_optimizers(self, module: Any) -> None:
        def apply(call: Call) -> Steps:
            yield
            if os.getpid() == self._pid:
                self._session().optimizer_applied(call.arguments["self"])

        add_hook(module.BaseOptimizer, "apply", apply)

    def _hook_unsupported(self, name: str, owner: str) -> Callable[[Any], None]:
        def hook(module: Any) -> None:
            def fit(call: Call) -> None:
                if name not in self.unsupported:
                    self.unsupported.append(name)

            add_hook(getattr(module, owner), "fit", fit)

        return hook
