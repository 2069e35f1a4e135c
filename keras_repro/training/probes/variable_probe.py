"""Tells a probe of each variable that is made: its first value, and the layer that it belongs to."""

from __future__ import annotations

import contextlib
import sys
import weakref
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf
import wrapt

from keras_repro.source_code.call_site import user_call_site
from keras_repro.storage.trace_file import Event
from keras_repro.training.state.digests import content_of
from keras_repro.training.state.initial_values import InitialValues

if TYPE_CHECKING:
    from keras_repro.training.probes.event_log import EventLog


class VariableProbe(InitialValues):
    """Hears of variables as `InitialValues` does, and keeps the first values of those that one step makes.

    Args:
        probe: is told.

    Attributes:
        made: first values by the variable's id, of the step that is under way; None outside of one.
    """

    def __init__(self, probe: EventLog) -> None:
        super().__init__(weakly=True)
        self.made: dict[int, Any] | None = None
        self._probe = probe
        self._seen: dict[int, weakref.ref[Any]] = {}
        self._first: dict[int, bytes] = {}

    def watch_variables(self) -> None:
        """Hears also of the `tf.Variable`s that the user's code makes itself."""
        from tensorflow.python.ops.resource_variable_ops import ResourceVariable

        def made(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
            result = wrapped(*args, **kwargs)
            if self._probe.active and tf.executing_eagerly():
                with contextlib.suppress(Exception):  # one that has no value yet has none to tell
                    self.note(instance)
            return result

        wrapt.wrap_function_wrapper(ResourceVariable, "__init__", made)

    def variables(self) -> list[Any]:
        """The variables that were made since it began, and that are still there."""
        held = [(key, ref()) for key, ref in list(self._seen.items())]
        self._seen = {key: self._seen[key] for key, variable in held if variable is not None}
        self._first = {key: first for key, first in self._first.items() if key in self._seen}
        return [variable for _, variable in held if variable is not None]

    def has_moved(self, variable: Any) -> bool:
        """Whether a variable holds something else than at first; True where its birth was not seen."""
        return self._first.get(id(variable)) != content_of(variable)

    def note(self, variable: Any) -> None:
        """Tells of a variable's first value."""
        if not self._probe.active:
            return
        content = content_of(variable)
        self._seen.setdefault(id(variable), weakref.ref(variable))
        self._first.setdefault(id(variable), content)
        if self.made is not None:
            self.made.setdefault(id(variable), tf.identity(variable))
        owner = _owner_at(sys._getframe(1))
        made = None if owner is None else self._probe.makings.site(owner)
        kind = "" if owner is None else type(owner).__name__
        of_optimizer = isinstance(owner, keras.Optimizer)
        line = made or user_call_site(sys._getframe(1))
        info = {
            "layer": "" if of_optimizer else kind,
            "optimizer": kind if of_optimizer else "",
            "source": None if line is None else line.to_dict(),
            "seed": variable.dtype.is_integer and variable.shape.rank == 1,
        }
        name = str(getattr(variable, "name", ""))
        self._probe.soft(Event(kind="birth", key=name, value=content.hex()[:32], info=info))


def _owner_at(frame: Any) -> Any:
    """The innermost layer or optimizer in whose method a frame is."""
    while frame is not None:
        owner = frame.f_locals.get("self")
        if isinstance(owner, keras.Layer | keras.Optimizer):
            return owner
        frame = frame.f_back
    return None
