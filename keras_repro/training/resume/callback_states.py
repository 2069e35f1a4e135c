"""Capture the state of callbacks with a snapshot, and restore it in a resumed run.

states = CallbackStates(callbacks)
packed = states.capture(arrays)
states.restore(packed, arrays)           # in another process, with equal callbacks

The state of Keras's own callbacks is known. A callback of the user has a state if it has `get_state()`, which
returns plain values and arrays, and `set_state(state)`.
"""

from __future__ import annotations

import contextlib
import dis
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
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
# Keras's callbacks on whose state no later epoch depends.
_STATELESS = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.TerminateOnNaN,
    keras.callbacks.RemoteMonitor,
)
_ASSIGNMENTS = ("STORE_ATTR", "STORE_GLOBAL", "STORE_DEREF")


class CallbackStates:
    """The states of the callbacks of one fit.

    Args:
        callbacks: the callbacks in their order.
    """

    def __init__(self, callbacks: Sequence[Any]) -> None:
        self._callbacks = list(callbacks)
        self._before = [_attribute_texts(c) for c in self._callbacks]

    def inexact(self) -> list[str]:
        """Return names of callbacks that have a state which no snapshot contains.

        These are callbacks of the user without `get_state` and `set_state` whose attributes have changed
        since the fit began, or whose methods assign to attributes.
        """
        return [
            type(callback).__name__
            for callback, before in zip(self._callbacks, self._before, strict=True)
            if not has_state(callback)
            and _known_attributes(callback) is None
            and not isinstance(callback, _STATELESS)
            and (
                _hooks_assign_to_self(type(callback))
                or _functions_assign(callback)
                or _attribute_texts(callback) != before
            )
        ]

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
    """Return the names of the attributes that are the state of a Keras callback, None for other callbacks."""
    if not _is_of_keras(type(callback)):
        return None
    return next((names for kind, names in _ATTRIBUTES.items() if isinstance(callback, kind)), None)


def _is_of_keras(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "keras"


def _attribute_texts(callback: Any) -> dict[str, str]:
    """Return the values of a callback's attributes as text; without values that cannot be packed.

    For functions among them, as in a LambdaCallback, this includes the variables that they use.
    """
    values = {n: v for n, v in vars(callback).items() if n not in backend.callbacks.NO_STATE}
    for name, function in _functions(callback):
        code = function.__code__
        for variable, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            with contextlib.suppress(ValueError):  # not bound yet
                values[f"{name} {variable}"] = cell.cell_contents
        for variable in code.co_names:
            if variable in function.__globals__:
                values[f"{name} {variable}"] = function.__globals__[variable]
    texts = {}
    for name, value in values.items():
        arrays: dict[str, Any] = {}
        with contextlib.suppress(NotSerializable):
            packed = pack(value, arrays, "")
            texts[name] = repr((packed, [a.tobytes() for a in arrays.values()]))
    return texts


def _functions(callback: Any) -> list[tuple[str, Any]]:
    """Return the functions that were passed to a callback as its hooks."""
    return [(n, v) for n, v in vars(callback).items() if n.startswith("on_") and hasattr(v, "__code__")]


def _functions_assign(callback: Any) -> bool:
    """Return whether a function that was passed to a callback assigns to a variable outside of it."""
    return any(
        instruction.opname in _ASSIGNMENTS
        and (instruction.opname != "STORE_DEREF" or instruction.argval in function.__code__.co_freevars)
        for _, function in _functions(callback)
        for instruction in dis.get_instructions(function)
    )


def _hooks_assign_to_self(kind: type) -> bool:
    """Return whether a hook of a callback class, except on_train_begin, assigns to an attribute of `self`."""
    return any(
        store.opname == "STORE_ATTR" and load.opname.startswith("LOAD_FAST") and load.argval == first
        for hook, first in _hooks(kind)
        for load, store in pairwise(dis.get_instructions(hook))
    )


def _hooks(kind: type) -> Iterator[tuple[Any, str | None]]:
    """Yield the hooks of the user's classes, each with the name of its first parameter."""
    for base in kind.__mro__:
        if _is_of_keras(base) or base is object:
            continue
        for name, hook in vars(base).items():
            if name.startswith("on_") and name != "on_train_begin" and hasattr(hook, "__code__"):
                yield hook, hook.__code__.co_varnames[0] if hook.__code__.co_argcount else None
