"""Positions in the list of callbacks: ours is last, `ModelLogs` first; callbacks that come too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

# Callbacks of Keras that change nothing: they may come after ours.
_PASSIVE = (
    keras.callbacks.History,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.CSVLogger,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.TensorBoard,
    keras.callbacks.TerminateOnNaN,
    keras.callbacks.RemoteMonitor,
    keras.callbacks.BackupAndRestore,
)
_LATE_HOOKS = ("on_epoch_end", "on_train_end", "on_train_begin")


def append_callback(callbacks: Any, callback: Any, model: Any) -> tuple[Any, Callable[[], None]]:
    """Append a callback to the `callbacks` argument of `fit`.

    Returns:
        The new argument, and a function that removes the callback from a `CallbackList` of the user.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        # Keras uses the object itself, and so does the script afterwards.
        callback.set_params(callbacks.params or {})
        callback.set_model(model)
        callbacks.callbacks = [*callbacks.callbacks, callback]
        return callbacks, lambda: _remove(callback, callbacks)
    return [*listed_callbacks(callbacks), callback], lambda: None


def listed_callbacks(callbacks: Any) -> list[Any]:
    """Return the `callbacks` argument of `fit` as a list."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]


class ModelLogs(keras.callbacks.Callback):
    """The first callback: keep the model's own logs before other callbacks add to them.

    Attributes:
        logs: the model's own logs of the last epoch.
    """

    def __init__(self, callbacks: Any) -> None:
        super().__init__()
        self.logs: dict[str, Any] = {}
        self._list = callbacks

    @classmethod
    def insert_into(cls, callbacks: Any) -> ModelLogs | None:
        """Insert one at the front of a `CallbackList`; its list is replaced, since Keras iterates over it."""
        if callbacks is None:
            return None
        first = cls(callbacks)
        callbacks.callbacks = [first, *callbacks.callbacks]
        return first

    def remove(self) -> None:
        """Remove it from the list."""
        _remove(self, self._list)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.logs = dict(logs or {})


def late_callbacks(callback: Any, callbacks: Any) -> list[str]:
    """Return the names of the callbacks after `callback` whose changes it cannot record."""
    if callbacks is None or callback not in callbacks.callbacks:
        return []
    after = callbacks.callbacks[callbacks.callbacks.index(callback) + 1 :]
    return [
        type(c).__name__
        for c in after
        if not isinstance(c, _PASSIVE)
        and not type(c).__module__.startswith("keras_repro.")
        and not _only_stops(c)
        and any(_overrides(c, hook) for hook in _LATE_HOOKS)
    ]


def _remove(callback: Any, callbacks: Any) -> None:
    callbacks.callbacks = [c for c in callbacks.callbacks if c is not callback]


def _only_stops(callback: Any) -> bool:
    """Return whether it is an EarlyStopping that does not change the weights."""
    return type(callback) is keras.callbacks.EarlyStopping and not callback.restore_best_weights


def _overrides(callback: Any, hook: str) -> bool:
    return getattr(type(callback), hook, None) is not getattr(keras.callbacks.Callback, hook) or (
        hook in vars(callback)
    )
