"""Report what the hooks of callbacks change in a model's state."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any

import keras

from keras_repro.source_code.call_site import source_line
from keras_repro.source_code.ownership import is_users_file
from keras_repro.storage.trace_file import HookEvent
from keras_repro.training.backends.active import backend
from keras_repro.training.probes.train_step_probe import TrainStepProbe
from keras_repro.training.recording.fit_callback import FitCallback
from keras_repro.training.state.fast_reader import StateReader
from keras_repro.utils.source_line import SourceLine

if TYPE_CHECKING:
    from keras_repro.training.probes.event_log import EventLog

_HOOKS = (
    "on_epoch_begin",
    "on_epoch_end",
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_batch_begin",
    "on_batch_end",
    "on_train_end",
)


class CallbackProbe(keras.callbacks.Callback):
    """Report epochs, and hooks of callbacks that change weights or the optimizer.

    Args:
        log: receives the events.
        recorder: the callback that records the fit.
    """

    def __init__(self, log: EventLog, recorder: FitCallback) -> None:
        super().__init__()
        self._log, self._recorder = log, recorder

    def on_train_begin(self, logs: Any = None) -> None:
        """Wrap the hooks of the other callbacks."""
        TrainStepProbe.wrap(self._log, self.model)
        callbacks = backend.trainer.calling_list(sys._getframe(1))
        reader = StateReader(self.model)
        for callback in getattr(callbacks, "callbacks", ()):
            if not isinstance(callback, (CallbackProbe, FitCallback, keras.callbacks.History)):
                for hook in _HOOKS:
                    self._wrap(callback, hook, reader)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Record the start of an epoch."""
        fit = self._recorder.fit.number if self._recorder.fit is not None else 0
        self._log.begin_epoch(self.model, fit, epoch, (self.params or {}).get("steps"))
        TrainStepProbe.wrap(self._log, self.model)

    def _wrap(self, callback: Any, hook: str, reader: StateReader) -> None:
        inherited = getattr(keras.callbacks.Callback, hook)
        if getattr(type(callback), hook, inherited) is inherited and hook not in vars(callback):
            return
        original, log = getattr(callback, hook), self._log
        name = type(callback).__name__

        def call_hook(*args: Any, **kwargs: Any) -> Any:
            if not log.active:
                return original(*args, **kwargs)
            reader.refresh(full=False)
            before = reader.digests()
            result = original(*args, **kwargs)
            reader.refresh(full=False)
            after = reader.digests()
            changed = {s: after[s] for s in ("weights", "optimizer") if before.get(s) != after.get(s)}
            if changed:
                log.note(HookEvent(callback=name, hook=hook, sections=changed, source=_definition(original)))
            return result

        setattr(callback, hook, call_hook)


def _definition(function: Any) -> SourceLine | None:
    """Return the line where the user's code defines a hook, None for a hook of Keras."""
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)
    if code is None or not is_users_file(code.co_filename):
        return None
    return source_line(code.co_filename, code.co_firstlineno, code.co_name)
