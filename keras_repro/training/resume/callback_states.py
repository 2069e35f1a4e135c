"""What callbacks keep between epochs: taken with a snapshot, and put back when a run is resumed.

states = CallbackStates(callbacks)
packed = states.take(arrays)
states.put(packed, arrays)           # in another process, with callbacks made alike

Of Keras's own callbacks it is known what they keep. A callback of the user's joins with `get_state()`, which
returns plain values and arrays, and `set_state(state)`.
"""

from __future__ import annotations

import contextlib
import dis
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_repro.errors import SnapshotError
from keras_repro.storage.plain_values import NotSerializable, deep_copied, pack, unpack
from keras_repro.training.backends.active import backend
from keras_repro.training.resume import tensorboard_files

_KEPT: dict[type, tuple[str, ...]] = {
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
# These keep nothing from which a later epoch follows.
_STATELESS = (
    keras.callbacks.LearningRateScheduler,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.TerminateOnNaN,
    keras.callbacks.RemoteMonitor,
)


class CallbackStates:
    """The states of the callbacks of one fit.

    Args:
        callbacks: in their order.
    """

    def __init__(self, callbacks: Sequence[Any]) -> None:
        self._callbacks = list(callbacks)
        self._before = [_plain_attributes(c) for c in self._callbacks]

    def inexact(self) -> list[str]:
        """Names of the callbacks of which it is not known that they go on as they were, in their order.

        One of the user's without `get_state` and `set_state`: its attributes have changed since the fit
        began, or its methods assign to some.
        """
        found = []
        for callback, before in zip(self._callbacks, self._before, strict=True):
            if _kept(callback) is not None or isinstance(callback, _STATELESS) or _joins(callback):
                continue
            if (
                _assigns_to_itself(type(callback))
                or _assigns(callback)
                or _plain_attributes(callback) != before
            ):
                found.append(type(callback).__name__)
        return found

    def take(self, arrays: dict[str, Any]) -> list[dict[str, Any]]:
        """The states as JSON can hold them; arrays in them are put into `arrays`.

        Raises:
            SnapshotError: a `get_state` returned something that is no plain value.
        """
        taken = []
        for number, callback in enumerate(self._callbacks):
            name, prefix = type(callback).__name__, f"callbacks/{number}"
            try:
                state = pack(_state_of(callback), arrays, prefix)
            except NotSerializable as error:
                raise SnapshotError(
                    f"get_state of callback {name} must return numbers, texts, arrays and containers of "
                    f"them, it holds a {error}"
                ) from None
            taken.append({"class": name, "state": state})
        return taken

    def put(
        self,
        taken: Sequence[Mapping[str, Any]],
        arrays: Mapping[str, Any],
        *,
        processes: Collection[str] = (),
    ) -> None:
        """Puts states back.

        Args:
            taken: as `take` gave them.
            arrays: those that they were put into.
            processes: those that have trained in this run, as `event_files.this_process` names them.

        Raises:
            SnapshotError: they are of other callbacks.
        """
        names = [type(c).__name__ for c in self._callbacks]
        then = [str(t["class"]) for t in taken]
        if names != then:
            raise SnapshotError(f"the callbacks are {', '.join(names)}; they were {', '.join(then)}")
        for callback, one in zip(self._callbacks, taken, strict=True):
            state = unpack(one["state"], arrays)
            if isinstance(callback, keras.callbacks.TensorBoard) and _kept(callback) is not None:
                tensorboard_files.set_state(callback, state, processes=processes)
            elif state is not None:
                _set_state(callback, state)

    def begin_anew(self, *, processes: Collection[str], since: float) -> None:
        """Removes what processes of this run have written that came to no snapshot.

        Args:
            processes: as for `put`.
            since: when this process began with it, in seconds of `time.time`.
        """
        for callback in self._callbacks:
            if isinstance(callback, keras.callbacks.TensorBoard):
                tensorboard_files.remove_orphaned(callback, processes=processes, since=since)


def tell_joined(
    callbacks: Sequence[Any], taken: Sequence[Mapping[str, Any]], arrays: Mapping[str, Any]
) -> None:
    """Gives the user's callbacks that have `set_state` what they kept, where nothing is trained any more."""
    for callback, one in zip(callbacks, taken, strict=False):
        if _joins(callback) and type(callback).__name__ == one["class"]:
            callback.set_state(unpack(one["state"], arrays))


def _state_of(callback: Any) -> Any:
    if _joins(callback):
        return deep_copied(callback.get_state())
    kept = _kept(callback)
    if kept is None:
        return None
    if isinstance(callback, keras.callbacks.TensorBoard):
        return tensorboard_files.state_of(callback)
    state = {name: getattr(callback, name) for name in kept if hasattr(callback, name)}
    if isinstance(callback, keras.callbacks.CSVLogger):
        if callback.csv_file is not None and not callback.csv_file.closed:
            callback.csv_file.flush()
        state["content"] = Path(callback.filename).read_bytes()
    return state


def _set_state(callback: Any, state: Mapping[str, Any]) -> None:
    if _joins(callback):
        callback.set_state(state)
        return
    held = dict(state)
    content = held.pop("content", None)
    for name, value in held.items():
        setattr(callback, name, value)
    if content is not None:
        # Keras has begun the file anew: here is what it held.
        callback.csv_file.close()
        Path(callback.filename).write_bytes(content)
        callback.csv_file = open(callback.filename, "a")  # noqa: SIM115 -- Keras closes it
        callback.writer, callback.append_header = None, not content


def _kept(callback: Any) -> tuple[str, ...] | None:
    """What is known to be kept by a callback of Keras's own, None for others."""
    if not _is_of_keras(type(callback)):
        return None
    return next((names for kind, names in _KEPT.items() if isinstance(callback, kind)), None)


def _is_of_keras(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "keras"


def _joins(callback: Any) -> bool:
    return callable(getattr(callback, "get_state", None)) and callable(getattr(callback, "set_state", None))


def _plain_attributes(callback: Any) -> dict[str, str]:
    """What the attributes of a callback hold, as text to compare; those that cannot be told are left out.

    Of a function among them, as a LambdaCallback has them, what it uses of what is around it.
    """
    held = {n: v for n, v in vars(callback).items() if n not in backend.callbacks.NO_STATE}
    for name, function in _functions(callback):
        cells = function.__closure__ or ()
        names = function.__code__.co_freevars
        for around, cell in zip(names, cells, strict=True):
            with contextlib.suppress(ValueError):  # not bound yet
                held[f"{name} {around}"] = cell.cell_contents
        for around in function.__code__.co_names:
            if around in function.__globals__:
                held[f"{name} {around}"] = function.__globals__[around]
    found = {}
    for name, value in held.items():
        arrays: dict[str, Any] = {}
        try:
            packed = pack(value, arrays, "")
        except NotSerializable:
            continue
        found[name] = repr((packed, [a.tobytes() for a in arrays.values()]))
    return found


def _functions(callback: Any) -> list[tuple[str, Any]]:
    """The functions that were given to a callback for its hooks."""
    return [(n, v) for n, v in vars(callback).items() if n.startswith("on_") and hasattr(v, "__code__")]


def _assigns(callback: Any) -> bool:
    """Whether a function that was given to a callback assigns to something around it."""
    stores = ("STORE_ATTR", "STORE_GLOBAL", "STORE_DEREF")
    return any(
        instruction.opname in stores
        and (instruction.opname != "STORE_DEREF" or instruction.argval in function.__code__.co_freevars)
        for _, function in _functions(callback)
        for instruction in dis.get_instructions(function)
    )


def _assigns_to_itself(kind: type) -> bool:
    """Whether a method of a callback's class, called during the training, assigns to an attribute of it."""
    hooks: list[Callable[..., Any]] = [
        method
        for base in kind.__mro__
        if not _is_of_keras(base) and base is not object
        for name, method in vars(base).items()
        if name.startswith("on_") and name not in ("on_train_begin",) and hasattr(method, "__code__")
    ]
    return any(
        instruction.opname in ("STORE_ATTR", "STORE_SUBSCR") and _is_of_self(hook, instruction)
        for hook in hooks
        for instruction in dis.get_instructions(hook)
    )


def _is_of_self(hook: Callable[..., Any], instruction: dis.Instruction) -> bool:
    if instruction.opname == "STORE_SUBSCR":
        return False  # shows in the attributes' values
    first = hook.__code__.co_varnames[0] if hook.__code__.co_argcount else None
    before = [i for i in dis.get_instructions(hook) if i.offset < instruction.offset][-1:]
    return bool(before) and before[0].opname.startswith("LOAD_FAST") and before[0].argval == first
