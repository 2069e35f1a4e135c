"""The state of objects of the user (callbacks, PyDatasets), by their `get_state` and `set_state`."""

from __future__ import annotations

from typing import Any

from keras_repro.storage.plain_values import deep_copied


def has_state(owner: Any) -> bool:
    """Return whether an object has `get_state()` and `set_state(state)`."""
    return all(callable(getattr(owner, name, None)) for name in ("get_state", "set_state"))


def state_of(owner: Any) -> Any:
    """Return a copy of an object's state; None if it has none."""
    return deep_copied(owner.get_state()) if has_state(owner) else None


def restore_state(owner: Any, state: Any) -> None:
    """Set the result of `state_of`."""
    if state is not None and has_state(owner):
        owner.set_state(state)
