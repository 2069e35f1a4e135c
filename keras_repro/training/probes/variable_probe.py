"""Report each new variable: its initial value, and the layer that it belongs to."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from keras_repro.source_code.call_site import calling_object, frames_from, user_call_site
from keras_repro.storage.trace_file import VariableEvent
from keras_repro.training.backends.active import backend
from keras_repro.training.probes.construction_sites import ConstructionSites
from keras_repro.training.state.digests import content_of
from keras_repro.training.state.initial_values import InitialValues


class VariableProbe(InitialValues):
    """Report the initial values of variables, and store those of the variables that a step creates.

    Args:
        emit: receives an event for each variable.
        sites: the lines that constructed layers and optimizers.
        is_active: whether variables are still reported.
    """

    def __init__(
        self,
        emit: Callable[[VariableEvent], None],
        sites: ConstructionSites,
        *,
        is_active: Callable[[], bool],
    ) -> None:
        super().__init__()
        self._emit, self._sites, self._is_active = emit, sites, is_active
        self._values_of_step: dict[int, Any] | None = None

    def watch_variables(self) -> None:
        """Report also each `tf.Variable` that the user's code constructs."""

        def report(variable: Any) -> None:
            if self._is_active() and tf.executing_eagerly():
                with contextlib.suppress(Exception):  # it may have no value yet
                    self.record(variable)

        backend.variable_creation.watch_variables(report)

    @contextlib.contextmanager
    def storing_initial_values(self, values: dict[int, Any]) -> Iterator[None]:
        """Add the initial values of the variables that are created in the block to `values`, by their ids."""
        self._values_of_step = values
        try:
            yield
        finally:
            self._values_of_step = None

    def variables(self) -> list[Any]:
        """Return the variables created since the start that still exist."""
        references = [reference for reference, _ in list(self._digests.values())]
        return [variable for reference in references if (variable := reference()) is not None]

    def has_moved(self, variable: Any) -> bool:
        """Return whether a variable differs from its initial value; True if that is unknown."""
        return self.digest(variable) != content_of(variable)

    def record(self, variable: Any) -> None:
        """Report a variable's initial value."""
        if not self._is_active():
            return
        super().record(variable)
        if self._values_of_step is not None:
            self._values_of_step.setdefault(id(variable), tf.identity(variable))
        owner = calling_object(sys._getframe(1), keras.Layer | keras.Optimizer)
        site = None if owner is None else self._sites.site_of(owner)
        owner_class = "" if owner is None else type(owner).__name__
        is_optimizer = isinstance(owner, keras.Optimizer)
        self._emit(
            VariableEvent(
                name=str(getattr(variable, "name", "")),
                digest=(self.digest(variable) or b"").hex()[:32],
                layer="" if is_optimizer else owner_class,
                optimizer=owner_class if is_optimizer else "",
                source=site or user_call_site(sys._getframe(1)),
                is_seed=variable.dtype.is_integer and variable.shape.rank == 1,
                is_unseeded=_has_unseeded_initializer(sys._getframe(1)),
            )
        )


def _has_unseeded_initializer(frame: Any) -> bool:
    """Return whether the variable that is created in a frame has a random initializer without a seed."""
    given = (f.f_locals.get("initializer") for f in frames_from(frame))
    initializer = next((i for i in given if isinstance(i, keras.initializers.Initializer)), None)
    is_kerases = type(initializer).__module__.startswith("keras.")  # no code of the user's is called
    return is_kerases and initializer is not None and initializer.get_config().get("seed", 0) is None
