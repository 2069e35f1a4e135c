"""Places in a fit's list of callbacks: ours behind the others, one of ours in front, and who is too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

# Callbacks of Keras that only watch: standing before them is no mistake.
_WATCHERS = (
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


def joined(given: Any, callback: Any, model: Any) -> tuple[Any, Callable[[], None]]:
    """Puts a callback behind those that were given to `fit`.

    Returns:
        What to give to `fit`, and a function that takes it out of a list that is the user's own.
    """
    if isinstance(given, keras.callbacks.CallbackList):
        # Keras uses the object itself, and so does the script afterwards.
        callback.set_params(given.params or {})
        callback.set_model(model)
        given.callbacks = [*given.callbacks, callback]

        def leave() -> None:
            given.callbacks = [c for c in given.callbacks if c is not callback]

        return given, leave
    if given is None:
        return [callback], lambda: None
    listed = list(given) if isinstance(given, list | tuple) else [given]
    return [*listed, callback], lambda: None


class FirstInLine(keras.callbacks.Callback):
    """Stands first, to see the model's own logs before any callback adds to them. Changes nothing."""

    def __init__(self, owner: Any) -> None:
        super().__init__()
        self.logs: dict[str, Any] = {}
        self._owner = owner

    @classmethod
    def put_into(cls, callbacks: Any) -> FirstInLine | None:
        """Joins a `CallbackList`, whose list is replaced: it is being walked through right now."""
        if callbacks is None:
            return None
        first = cls(callbacks)
        callbacks.callbacks = [first, *callbacks.callbacks]
        return first

    def leave(self) -> None:
        """Leaves the list as it was."""
        self._owner.callbacks = [c for c in self._owner.callbacks if c is not self]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.logs = dict(logs or {})


def changing_after(me: Any, callbacks: Any) -> list[str]:
    """Names of the callbacks behind `me` whose hooks come too late for it to see what they do."""
    if callbacks is None or me not in callbacks.callbacks:
        return []
    after = callbacks.callbacks[callbacks.callbacks.index(me) + 1 :]
    return [
        type(c).__name__
        for c in after
        if not isinstance(c, _WATCHERS)
        and not type(c).__module__.startswith("keras_repro.")
        and not _only_stops(c)
        and any(_overrides(c, hook) for hook in _LATE_HOOKS)
    ]


def _only_stops(callback: Any) -> bool:
    """Whether it is an EarlyStopping that leaves the weights as they are."""
    early = type(callback) is keras.callbacks.EarlyStopping
    return early and not callback.restore_best_weights


def _overrides(callback: Any, hook: str) -> bool:
    return getattr(type(callback), hook, None) is not getattr(keras.callbacks.Callback, hook) or (
        hook in vars(callback)
    )
