"""What a container of the user's holds, in an order that is the same in every process."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from keras_repro.training.backends.active import backend
from keras_repro.training.state.value_kinds import is_of_users

_PLAIN_KEYS = (str, int, float, bool, bytes, type(None))


def items_of(walk: Callable[[], Iterable[Any]]) -> list[Any]:
    """A container's items, also while another thread changes it."""
    while True:
        try:
            return list(walk())
        except RuntimeError:  # changed while we went through it
            continue


def own_method(value: Any, base: type, method: str) -> Any:
    """A method of a container: its base class's where the user's own class may have another one."""
    return getattr(base, method).__get__(value) if is_of_users(value) else getattr(value, method)


def by_key(entries: list[tuple[Any, Any]]) -> Iterator[tuple[str, Any]]:
    """Entries by sorted key; those whose key is an object by their place, since its text may count up."""
    named = [(str(key), held) for key, held in entries if _is_plain_key(key)]
    yield from sorted(named, key=lambda entry: entry[0])
    for index, (key, held) in enumerate(entries):
        if not _is_plain_key(key):
            yield str(index), held


def _is_plain_key(key: Any) -> bool:
    return type(key) in _PLAIN_KEYS or (type(key) is tuple and all(map(_is_plain_key, key)))


def sort_key(value: Any) -> tuple[str, list[Any], list[Any]]:
    """Class and name, numbers in them by size: what counts up has another number of digits elsewhere."""
    if is_of_users(value) and not backend.variables.is_saveable(value):
        return type(value).__name__, [], []
    name, number = (_parts(getattr(value, n, "")) for n in ("name", "_unique_id"))
    return type(value).__name__, name, number


def _parts(name: Any) -> list[Any]:
    text = str(name) if type(name) in _PLAIN_KEYS else ""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]
