"""Initial values of variables that Keras creates only inside the first training step.

Keras 3 defers the building of a model, and of an optimizer that is an attribute, into the traced step: after
the first epoch their initial values are gone. `watch()` hashes each new variable as soon as it has a value.
It reads values and changes none.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from keras_repro.training.backends.active import backend
from keras_repro.training.state.digests import content_of, digest_with
from keras_repro.training.state.walk import StateTensor

# Weak: `stop` may not be called if a fit fails.
_watching: weakref.WeakSet[InitialValues] = weakref.WeakSet()
_lock = threading.Lock()  # a script may train in several threads


class InitialValues:
    """Content digests of the initial values of variables created while it watches.

    Args:
        keep_values: whether to keep the values too.

    Attributes:
        values: initial values by the variable's id, if `keep_values`.
    """

    def __init__(self, *, keep_values: bool = False) -> None:
        self.values: dict[int, Any] = {}
        self._keep_values = keep_values
        # By id; ids are reused, so that the entry of a variable that is deleted is removed.
        self._digests: dict[int, tuple[weakref.ref[Any], bytes]] = {}

    def digest(self, variable: Any) -> bytes | None:
        """Return the content digest of a variable's initial value, None if it is unknown."""
        entry = self._digests.get(id(variable))
        return entry[1] if entry is not None else None

    def digests_of(self, tensors: Iterable[StateTensor]) -> dict[str, dict[str, str]]:
        """Return the digests of the tensors' initial values by section and name, as far as they are known."""
        digests: dict[str, dict[str, str]] = {}
        for tensor in tensors:
            content = self.digest(tensor.variable)
            if content is not None:
                digests.setdefault(tensor.section, {})[tensor.name] = digest_with(tensor, content)
        return digests

    def record(self, variable: Any) -> None:
        """Record a variable's present value as its initial one. Idempotent."""
        if id(variable) in self._digests:
            return
        self.adopt(variable, content_of(variable))
        if self._keep_values:
            self.values[id(variable)] = variable.numpy()

    def adopt(self, variable: Any, digest: bytes) -> None:
        """Record the digest that another process computed for the same variable."""
        key, digests, values = id(variable), self._digests, self.values

        def forget(reference: Any) -> None:
            digests.pop(key, None)
            values.pop(key, None)

        digests[key] = weakref.ref(variable, forget), digest

    def forget(self) -> None:
        """Drop all digests."""
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
    with _lock:
        _watching.add(initial)
    return initial


def stop(initial: InitialValues) -> None:
    """Stop watching. Idempotent."""
    with _lock:
        _watching.discard(initial)


@functools.cache
def _install() -> None:
    backend.variable_creation.watch_initial_values(lambda: _watching, _record)


def _record(variable: Any) -> None:
    with _lock:
        watching = list(_watching)
    for initial in watching:
        initial.record(variable)
