"""Capture the state of callbacks with a snapshot, and restore it in a resumed run.

states = CallbackStates(callbacks)
packed = states.capture(arrays)
states.restore(packed, arrays)           # in another process, with equal callbacks

The state of Keras's own callbacks is known, also as bases of the user's. A callback of the user has a state
if it has `get_state()`, which returns plain values and arrays, and `set_state(state)`; `user_values` restores
the attributes of the others.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_repro.errors import SnapshotError
from keras_repro.storage.plain_values import NotSerializable, pack, unpack
from keras_repro.training.backends.active import backend
from keras_repro.training.resume import tensorboard_files
from keras_repro.training.state.user_state import has_state, state_of

_ATTRIBUTES: dict[type, tuple[str, ...]] = {
    keras.callbacks.History: ("history", "epoch"),
    keras.callbacks.EarlyStopping: ("wait", "stopped_epoch", "best", "best_weights", "best_epoch"),
    keras.callbacks.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    keras.callbacks.ModelCheckpoint: (
        "best",
        "epochs_since_last_save",
        *backend.callbacks.MODEL_CHECKPOINT,
    ),
    keras.callbacks.CSVLogger: ("keys",),
    keras.callbacks.SwapEMAWeights: backend.callbacks.SWAP_EMA_WEIGHTS,
    keras.callbacks.TensorBoard: (),
}


class CallbackStates:
    """The states of the callbacks of one fit.

    Args:
        callbacks: the callbacks in their order.
    """

    def __init__(self, callbacks: Sequence[Any]) -> None:
        self._callbacks = list(callbacks)

    def capture(self, arrays: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the states for JSON, and add the arrays in them to `arrays`.

        Raises:
            SnapshotError: a `get_state` returned something else than plain values and arrays.
        """
        packed = []
        for number, callback in enumerate(self._callbacks):
            name = type(callback).__name__
            try:
                state = pack(_state_of(callback), arrays, f"callbacks/{number}")
            except NotSerializable as error:
                raise SnapshotError(
                    f"get_state of callback {name} must return numbers, texts, arrays and containers of "
                    f"them, got {error}"
                ) from None
            packed.append({"class": name, "state": state})
        return packed

    def restore(
        self,
        packed: Sequence[Mapping[str, Any]],
        arrays: Mapping[str, Any],
        *,
        processes: Collection[str] = (),
    ) -> None:
        """Restore states.

        Args:
            packed: the result of `capture`.
            arrays: the arrays of `capture`.
            processes: the processes of this run, as `tensorboard_files.note_process` returns them.

        Raises:
            SnapshotError: the states are of other callbacks.
        """
        names = [type(c).__name__ for c in self._callbacks]
        recorded = [str(p["class"]) for p in packed]
        if names != recorded:
            raise SnapshotError(f"the callbacks are {', '.join(names)}; they were {', '.join(recorded)}")
        for callback, entry in zip(self._callbacks, packed, strict=True):
            state = unpack(entry["state"], arrays)
            if state is None:
                continue
            if has_state(callback):
                callback.set_state(state)
            elif isinstance(callback, keras.callbacks.TensorBoard):
                tensorboard_files.set_state(callback, state, processes=processes)
            else:
                _set_attributes(callback, state)

    def remove_orphaned_files(self, *, processes: Collection[str], since: float) -> None:
        """Remove files that earlier processes of this run wrote, if the run has no snapshot yet.

        Args:
            processes: as for `restore`.
            since: when the present process began, in seconds of `time.time`.
        """
        for callback in self._callbacks:
            if isinstance(callback, keras.callbacks.TensorBoard):
                tensorboard_files.remove_orphaned(callback, processes=processes, since=since)


def restore_user_callbacks(
    callbacks: Sequence[Any], packed: Sequence[Mapping[str, Any]], arrays: Mapping[str, Any]
) -> None:
    """Restore the user's callbacks that have `set_state`, if the run is finished already."""
    for callback, entry in zip(callbacks, packed, strict=False):
        if has_state(callback) and type(callback).__name__ == entry["class"]:
            callback.set_state(unpack(entry["state"], arrays))


def _state_of(callback: Any) -> Any:
    names = _known_attributes(callback)
    if has_state(callback) or names is None:
        return state_of(callback)
    if isinstance(callback, keras.callbacks.TensorBoard):
        return tensorboard_files.state_of(callback)
    state = {name: getattr(callback, name) for name in names if hasattr(callback, name)}
    if isinstance(callback, keras.callbacks.CSVLogger):
        if callback.csv_file is not None and not callback.csv_file.closed:
            callback.csv_file.flush()
        state["content"] = Path(callback.filename).read_bytes()
    return state


def _set_attributes(callback: Any, state: dict[str, Any]) -> None:
    content = state.pop("content", None)
    for name, value in state.items():
        setattr(callback, name, value)
    if content is not None:
        # Keras has emptied the file of the CSVLogger.
        callback.csv_file.close()
        Path(callback.filename).write_bytes(content)
        callback.csv_file = open(callback.filename, "a")  # noqa: SIM115 -- Keras closes it
        callback.writer, callback.append_header = None, not content


def _known_attributes(callback: Any) -> tuple[str, ...] | None:
    """Return the names of the attributes that are the state of a callback of Keras, None for others."""
    return next((names for kind, names in _ATTRIBUTES.items() if isinstance(callback, kind)), None)
