"""What variables held when they were born: Keras builds some of them only inside the first training step.

Keras 3 defers the building of a model, and of an optimizer held as an attribute, into the traced step, so
that after the first epoch their first values are gone. `watch()` hashes each new variable at the moment when
its first value is there. It reads values and changes none.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import wrapt

from keras_repro.training.state.digests import content_of

_installed = False
# Weak: a fit that fails tells nobody to stop.
_watching: weakref.WeakSet[InitialValues] = weakref.WeakSet()


class InitialValues:
    """Content digests of the variables born while it was watching.

    Args:
        keep_values: whether to keep the first values too, in `values` by the variable's id.
        weakly: whether to let go of variables that nobody else holds.
    """

    def __init__(self, *, keep_values: bool = False, weakly: bool = False) -> None:
        self.values: dict[int, Any] = {}
        self._keep_values, self._weakly = keep_values, weakly
        self._known: dict[int, tuple[Any, bytes]] = {}

    def content(self, variable: Any) -> bytes | None:
        """The content digest of the variable's first value, None if nothing saw its birth."""
        entry = self._known.get(id(variable))
        return entry[1] if entry is not None else None

    def note(self, variable: Any) -> None:
        """Takes a variable's present value as its first one; a second call for it does nothing."""
        key = id(variable)
        if key not in self._known:
            # An id is used again: what stands for the variable has to live as long as the entry.
            held = weakref.ref(variable, lambda _: self._known.pop(key, None)) if self._weakly else variable
            self._known[key] = (held, content_of(variable))
            if self._keep_values:
                self.values[id(variable)] = variable.numpy()

    def take_over(self, variable: Any, content: bytes) -> None:
        """Takes a content digest that another process noted of the variable that this one stands for."""
        self._known[id(variable)] = (variable, content)

    def forget(self) -> None:
        """Drops what was seen, and with it the references to the variables."""
        self._known.clear()


@contextmanager
def watch(*, keep_values: bool = False) -> Iterator[InitialValues]:
    """Watches all variables that are born inside the block, in this thread or another."""
    births = start(keep_values=keep_values)
    try:
        yield births
    finally:
        stop(births)


def start(
    *, keep_values: bool = False, weakly: bool = False, like: InitialValues | None = None
) -> InitialValues:
    """Begins to watch, as a new `InitialValues` or as the one that is given; `stop` ends it."""
    _install()
    births = InitialValues(keep_values=keep_values, weakly=weakly) if like is None else like
    _watching.add(births)
    return births


def stop(births: InitialValues) -> None:
    """Ends the watching of one `start`; a second call does nothing."""
    _watching.discard(births)


def _install() -> None:
    global _installed
    if _installed:
        return
    _installed = True
    from keras.src.backend.tensorflow.core import Variable
    from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function

    wrapt.wrap_function_wrapper(Variable, "_initialize", _after_initialize)
    wrapt.wrap_function_wrapper(Function, "_initialize_uninitialized_variables", _after_lifting)


def _after_initialize(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    result = wrapped(*args, **kwargs)
    import tensorflow as tf

    # Inside a traced function the variable has no value yet: `_after_lifting` sees it then.
    if _watching and tf.executing_eagerly():
        _note(instance._value)
    return result


def _after_lifting(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    result = wrapped(*args, **kwargs)
    if _watching:
        import tensorflow as tf

        initializers = args[0] if args else kwargs.get("initializers", ())
        with tf.init_scope():
            if tf.executing_eagerly():
                for variable, _ in initializers:
                    _note(variable)
    return result


def _note(variable: Any) -> None:
    for births in list(_watching):
        births.note(variable)
