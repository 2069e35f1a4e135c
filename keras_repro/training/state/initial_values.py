"""Initial values of variables that Keras creates only inside the first training step.

Keras 3 defers the building of a model, and of an optimizer held as an attribute, into the traced step: after
the first epoch their initial values are gone. `watch()` hashes each new variable as soon as it has a value.
It reads values and changes none.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras_repro.training.backends.active import backend
from keras_repro.training.state.digests import content_of

# Weak: `stop` may not be called if a fit fails.
_watching: weakref.WeakSet[InitialValues] = weakref.WeakSet()


class InitialValues:
    """Content digests of the initial values of variables created while it watches.

    Args:
        keep_values: whether to keep the values too.
        weakly: whether to forget variables that have no other reference.

    Attributes:
        values: initial values by the variable's id, if `keep_values`.
    """

    def __init__(self, *, keep_values: bool = False, weakly: bool = False) -> None:
        self.values: dict[int, Any] = {}
        self._keep_values, self._weakly = keep_values, weakly
        # By id; ids are reused, so that a reference to the variable is kept with its digest.
        self._digests: dict[int, tuple[Any, bytes]] = {}

    def digest(self, variable: Any) -> bytes | None:
        """Return the content digest of a variable's initial value, None if it is unknown."""
        entry = self._digests.get(id(variable))
        return entry[1] if entry is not None else None

    def record(self, variable: Any) -> None:
        """Record a variable's present value as its initial one. Idempotent."""
        key = id(variable)
        if key in self._digests:
            return
        reference = (
            weakref.ref(variable, lambda _: self._digests.pop(key, None)) if self._weakly else variable
        )
        self._digests[key] = (reference, content_of(variable))
        if self._keep_values:
            self.values[key] = variable.numpy()

    def adopt(self, variable: Any, digest: bytes) -> None:
        """Record the digest that another process computed for the same variable."""
        self._digests[id(variable)] = (variable, digest)

    def forget(self) -> None:
        """Drop all digests, and with them the references to the variables."""
        self._digests.clear()


@contextmanager
def watch(*, keep_values: bool = False) -> Iterator[InitialValues]:
    """Record all variables that are created inside the block, in any thread."""
    initial = start(InitialValues(keep_values=keep_values))
    try:
        yield initial
    finally:
        stop(initial)


def start(initial: InitialValues | None = None) -> InitialValues:
    """Start watching with `initial`, by default a new one, and return it; `stop` ends it."""
    _install()
    initial = InitialValues() if initial is None else initial
    _watching.add(initial)
    return initial


def stop(initial: InitialValues) -> None:
    """Stop watching. Idempotent."""
    _watching.discard(initial)


@functools.cache
def _install() -> None:
    backend.variable_creation.watch_initial_values(lambda: _watching, _record)


def _record(variable: Any) -> None:
    for initial in list(_watching):
        initial.record(variable)
